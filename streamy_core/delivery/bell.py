"""Waking a selector from any thread."""

from __future__ import annotations

import selectors
import socket
from contextlib import suppress


class Bell:
    """A socket pair that a selector waits for; its key has no data. `ring`: any thread."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._ringing = False
        selector.register(self._ear, selectors.EVENT_READ)

    def ring(self) -> None:
        """Wake the selector, unless it is being woken already."""
        if not self._ringing:
            self._ringing = True
            with suppress(OSError):  # so many unread already that it will wake, or closed
                self._bell.send(b"\0")

    def answer(self) -> None:
        """Stop the ringing. To be called before looking for what it was about."""
        self._ear.recv(4096)
        self._ringing = False

    def close(self) -> None:
        """Free the sockets. Ringing does nothing more."""
        self._bell.close()
        self._ear.close()
