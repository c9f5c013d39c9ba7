"""Waking a selector from any thread."""

from __future__ import annotations

import selectors
import socket
from contextlib import suppress


class Waker:
    """A socket pair that a selector waits for; its key has no data. `wake`: any thread.

    The selector's thread says when it is about to wait, then looks whether it has something to do, and
    only then waits: so what comes while it is awake costs no system call, and nothing is missed.
    """

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)
        self._waiting = False
        selector.register(self._far, selectors.EVENT_READ)

    def wake(self) -> None:
        """Wake the selector, unless it is awake or being woken."""
        if self._waiting:
            self._waiting = False
            with suppress(OSError):  # so much unread already that it will wake, or closed
                self._near.send(b"\0")

    def before_wait(self) -> None:
        """From now on waking is needed."""
        self._waiting = True

    def after_wait(self) -> None:
        """From now on it isn't."""
        self._waiting = False

    def drain(self) -> None:
        """Read what woke the selector."""
        self._far.recv(4096)

    def close(self) -> None:
        """Free the sockets. Waking does nothing more."""
        self._near.close()
        self._far.close()
