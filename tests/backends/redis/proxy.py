"""A network between broker and server that holds back what it is told to hold back."""

from __future__ import annotations

import selectors
import socket

from ...support.proxy import Proxy


class HoldingProxy(Proxy):
    """A proxy that can hold back what the server replies. Any thread."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._held: list[socket.socket] = []
        super().__init__(target)

    def hold_replies(self) -> None:
        """Let nothing through that the server says on the present connections, until `let_through`."""
        self._do(self._hold)

    def let_through(self) -> None:
        self._do(self._let_through)

    def _hold(self) -> None:
        self._held = [end for end in self._peers if end.getsockname()[1] != self.port]
        for end in self._held:
            self._selector.unregister(end)

    def _let_through(self) -> None:
        for end in self._held:
            self._selector.register(end, selectors.EVENT_READ)
        self._held = []
