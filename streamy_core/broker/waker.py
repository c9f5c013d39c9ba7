"""Waking a thread that waits for sockets, from any other."""

from __future__ import annotations

import selectors
import socket
from contextlib import suppress


class Waker:
    """A socket pair of which a selector waits for one end: its key's data is the waker itself."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._inner, self._outer = socket.socketpair()
        self._inner.setblocking(False)
        self._outer.setblocking(False)
        selector.register(self._inner, selectors.EVENT_READ, self)

    def wake(self) -> None:
        """Make the selector's wait under way, or else its next one, return at once. Any thread."""
        with suppress(OSError):  # so much is unread that it will return anyway, or it has been closed
            self._outer.send(b"\0")

    def clear(self) -> None:
        """Take note of having been woken, so that the next wait blocks. For the waiting thread."""
        with suppress(BlockingIOError):
            self._inner.recv(4_096)

    def close(self) -> None:
        """Free the sockets. Waking does nothing more."""
        self._inner.close()
        self._outer.close()
