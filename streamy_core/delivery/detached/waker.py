"""Waking a selector from any thread."""

from __future__ import annotations

import selectors
import socket
from contextlib import suppress


class Bell:
    """A socket pair that a selector waits for; its key has no data. `ring`: any thread.

    Whoever waits says when it is about to, then looks whether it has something to do, and only then
    waits: so what comes while it is awake costs no system call, and nothing is missed.
    """

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._asleep = False
        selector.register(self._ear, selectors.EVENT_READ)

    def ring(self) -> None:
        """Wake the selector, unless it is awake or being woken."""
        if self._asleep:
            self._asleep = False
            with suppress(OSError):  # so many unread already that it will wake, or closed
                self._bell.send(b"\0")

    def about_to_sleep(self) -> None:
        """From now on ringing is needed."""
        self._asleep = True

    def awake(self) -> None:
        """From now on it isn't."""
        self._asleep = False

    def answer(self) -> None:
        """Stop the ringing."""
        self._ear.recv(4096)

    def close(self) -> None:
        """Free the sockets. Ringing does nothing more."""
        self._bell.close()
        self._ear.close()
