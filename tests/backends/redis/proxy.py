"""A network between broker and server that holds back what it is told to hold back."""

from __future__ import annotations

import selectors
import socket
from contextlib import suppress

from ...support.proxy import Proxy


class HoldingProxy(Proxy):
    """A proxy that can hold back, or lose, what the server replies. Any thread."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._held: list[socket.socket] = []
        self._subscribed: set[socket.socket] = set()
        self._deaf = False
        super().__init__(target)

    def hold_replies(self) -> None:
        """Let nothing through that the server says on the present connections, until `let_through`."""
        self._do(self._hold)

    def let_through(self) -> None:
        self._do(self._let_through)

    def deafen(self) -> None:
        """Lose all that the server says on connections that have subscribed, also on later ones."""
        self._deaf = True

    def undeafen(self) -> None:
        """Lose no more. Connections that are there have lost what they have."""
        self._deaf = False

    def _pass_on(self, source: socket.socket) -> None:
        with suppress(OSError):
            said = source.recv(65_536, socket.MSG_PEEK)
            if not self._is_server(source) and b"SUBSCRIBE" in said.upper():
                self._subscribed.add(self._peers[source])
            if self._deaf and said and source in self._subscribed:
                source.recv(65_536)
                return
        super()._pass_on(source)

    def _hold(self) -> None:
        self._held = [end for end in self._peers if end.getsockname()[1] != self.port]
        for end in self._held:
            self._selector.unregister(end)

    def _let_through(self) -> None:
        for end in self._held:
            self._selector.register(end, selectors.EVENT_READ)
        self._held = []
