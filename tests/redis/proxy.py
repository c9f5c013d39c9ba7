"""A network between broker and server that loses what it is told to lose."""

from __future__ import annotations

import selectors
import socket

from ..servers.proxy import Proxy


class LossyProxy(Proxy):
    """A proxy that loses a reply, or lets nothing through for a while. Any thread.

    lost: how many replies have been lost, in all.
    """

    def __init__(self, port: int) -> None:
        self.lost = 0
        self._until_loss: int | None = None
        self._tears = False
        self._frozen = False
        super().__init__(("127.0.0.1", port))

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def lose_reply(self, number: int = 0, *, tears: bool) -> None:
        """Lose the `number`-th reply from now on, from 0. tears: and its connection with it."""
        self._do(lambda: self._set_loss(number, tears))

    def freeze(self) -> None:
        """Let nothing through, and tell nobody, until `thaw`: what is sent meanwhile arrives then."""
        self._do(self._freeze)

    def thaw(self) -> None:
        self._do(self._thaw)

    def _set_loss(self, number: int, tears: bool) -> None:
        self._until_loss, self._tears = number, tears

    def _freeze(self) -> None:
        if not self._frozen:
            self._frozen = True
            for end in self._ends():
                self._selector.unregister(end)

    def _thaw(self) -> None:
        if self._frozen:
            self._frozen = False
            for end in self._ends():
                self._selector.register(end, selectors.EVENT_READ)

    def _ends(self) -> list[socket.socket]:
        return [*self._peers, *([self._listener] if self._listener is not None else [])]

    def _accept(self, listener: socket.socket) -> None:
        if not self._frozen:
            super()._accept(listener)

    def _pass_on(self, source: socket.socket) -> None:
        if self._frozen:
            return
        is_reply = source.getsockname()[1] != self.port
        if self._until_loss is None or not is_reply:
            super()._pass_on(source)
        elif self._until_loss > 0:
            self._until_loss -= 1
            super()._pass_on(source)
        else:
            self._until_loss = None
            self.lost += 1
            source.recv(65_536)
            if self._tears:
                self._drop(source, torn=True)

    def _tear_all(self) -> None:
        self._thaw()
        super()._tear_all()

    def _go_down(self) -> None:
        self._thaw()
        super()._go_down()


class HoldingProxy(Proxy):
    """A proxy that can hold back what the server replies. Any thread."""

    def __init__(self, port: int) -> None:
        self._held: list[socket.socket] = []
        super().__init__(("127.0.0.1", port))

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

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
