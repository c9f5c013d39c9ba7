"""A TCP proxy: a network that can be cut, that stands still, and that loses replies."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Final, Self

from streamy_core.testing.reading import DEADLINE

_RESET: Final = struct.pack("ii", 1, 0)


class Proxy:
    """Passes connections on to `target`. All methods return when they have taken effect. Any thread.

    accepted: how many connections have come, in all.
    lost:     how many replies have been lost, in all.
    replied:  how many bytes of replies have come, in all.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.accepted = 0
        self.lost = 0
        self.replied = 0
        self._replies_until_loss: int | None = None
        self._tears = False
        self._frozen = False
        self._target = target
        self._selector = selectors.DefaultSelector()
        self._commands: SimpleQueue[tuple[Callable[[], None], Future[None]]] = SimpleQueue()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._peers: dict[socket.socket, socket.socket] = {}
        # Bound and never listening: it keeps the port ours while connections are refused.
        self._kept = self._bound(0)
        self.port: int = self._kept.getsockname()[1]
        self._listener: socket.socket | None = None
        self._running = True
        self._listen()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Tear all connections, as a broken network does: both sides get RST."""
        self._do(self._tear_all)

    def refuse(self) -> None:
        """The same, and refuse new ones until `resume`."""
        self._do(self._go_down)

    def resume(self) -> None:
        self._do(self._listen)

    def freeze(self) -> None:
        """Let nothing through, and tell nobody, until `thaw`: what is sent meanwhile arrives then."""
        self._do(self._freeze)

    def thaw(self) -> None:
        self._do(self._thaw)

    def lose_reply(self, number: int = 0, *, tears: bool) -> None:
        """Lose the `number`-th reply from now on, from 0. tears: and its connection with it."""
        self._do(lambda: self._set_loss(number, tears))

    def lead_to(self, target: tuple[str, int]) -> None:
        """Pass new connections on to another target; those that are there stay as they are."""

        def move() -> None:
            self._target = target

        self._do(move)

    def through(self, url: str) -> str:
        """The URL of something at the target, by way of the proxy."""
        host, port = self._target
        assert f"{host}:{port}" in url, f"{url} doesn't lead to {host}:{port}"
        return url.replace(f"{host}:{port}", f"127.0.0.1:{self.port}")

    def close(self) -> None:
        self._do(self._stop)
        self._thread.join(DEADLINE)
        for left in (self._wake, self._woken, self._kept, self._selector):
            left.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _do(self, command: Callable[[], None]) -> None:
        done: Future[None] = Future()
        self._commands.put((command, done))
        self._wake.send(b"x")
        done.result(DEADLINE)

    def _run(self) -> None:
        while self._running:
            for key, _ in self._selector.select():
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                if ready is self._woken:
                    self._obey()
                elif ready is self._listener:
                    self._accept(ready)
                elif ready in self._peers:
                    self._pass_on(ready)

    def _obey(self) -> None:
        self._woken.recv(1)
        command, done = self._commands.get_nowait()
        try:
            command()
        except BaseException as error:  # noqa: BLE001 - it belongs to who asked
            done.set_exception(error)
        else:
            done.set_result(None)

    def _accept(self, listener: socket.socket) -> None:
        if self._frozen:
            return
        client, _ = listener.accept()
        self.accepted += 1
        try:
            server = socket.create_connection(self._target, DEADLINE)
        except OSError:
            client.close()
            return
        for end, other in ((client, server), (server, client)):
            end.settimeout(DEADLINE)
            self._peers[end] = other
            self._selector.register(end, selectors.EVENT_READ)

    def _pass_on(self, source: socket.socket) -> None:
        if self._frozen:
            return
        try:
            data = source.recv(65_536)
            if self._is_server(source):
                self.replied += len(data)
            if data and self._loses(source):
                if self._tears:
                    self._drop(source, torn=True)
                return
            if data:
                self._peers[source].sendall(data)
        except OSError:
            data = b""
        if not data:
            self._drop(source)

    def _is_server(self, end: socket.socket) -> bool:
        """Whether this is the connection to the server, and not to who uses the proxy."""
        return int(end.getsockname()[1]) != self.port

    def _loses(self, source: socket.socket) -> bool:
        """Whether what has just come from there is the reply to lose. Counts replies."""
        if self._replies_until_loss is None or not self._is_server(source):
            return False
        if self._replies_until_loss > 0:
            self._replies_until_loss -= 1
            return False
        self._replies_until_loss = None
        self.lost += 1
        return True

    def _set_loss(self, number: int, tears: bool) -> None:
        self._replies_until_loss, self._tears = number, tears

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

    def _drop(self, end: socket.socket, *, torn: bool = False) -> None:
        for one in (end, self._peers[end]):
            del self._peers[one]
            self._selector.unregister(one)
            if torn:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            one.close()

    def _tear_all(self) -> None:
        self._thaw()
        while self._peers:
            self._drop(next(iter(self._peers)), torn=True)

    def _go_down(self) -> None:
        self._thaw()
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
        self._tear_all()

    def _listen(self) -> None:
        if self._listener is None:
            self._listener = self._bound(self.port)
            self._listener.listen()
            self._selector.register(self._listener, selectors.EVENT_READ)

    def _stop(self) -> None:
        self._go_down()
        self._running = False

    def _bound(self, port: int) -> socket.socket:
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        return bound
