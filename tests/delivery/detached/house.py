"""A loop with everything it needs, and the far ends of its clients' connections."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Collection
from typing import Any

from streamy_core.config import Settings
from streamy_core.delivery.detached.client import Arrival, Client
from streamy_core.delivery.detached.loop import Loop
from streamy_core.delivery.questions import Recheck
from streamy_core.delivery.rechecks import Rechecks
from streamy_core.delivery.replayer import Replayer
from streamy_core.delivery.session import Expiry, Session
from streamy_core.engine.byte_reader import ByteReader
from streamy_core.engine.floors import wanted_within
from streamy_core.engine.frames import Framing
from streamy_core.engine.hub import Hub
from streamy_core.observers import ClientInfo, Observer
from streamy_core.strategies import FixedDelay, KeepAliveScheduler, Never
from streamy_core.strategies.slow_clients import Lag, SlowClientPolicy
from streamy_core.testing import ManualClock
from streamy_core.testing.reading import DEADLINE


class Visitor:
    """The far end of a client's connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""
        sock.settimeout(DEADLINE)

    def read_until(self, end: bytes) -> bytes:
        """Everything up to the first `end`, which has to come within the deadline."""
        while end not in self.received:
            data = self.sock.recv(65536)
            assert data, f"closed after {self.received[-200:]!r}"
            self.received += data
        found, _, self.received = self.received.partition(end)
        return found + end

    def count(self, what: bytes, expected: int) -> None:
        """Read until this has come so many times."""
        seen, rest = self.received.count(what), b""
        while seen < expected:
            rest += self.sock.recv(262_144)
            seen += rest.count(what)
            rest = rest[rest.rfind(b"\n") + 1 :]

    def read_to_the_close(self) -> bytes:
        while data := self.sock.recv(65536):
            self.received += data
        return self.received

    def data(self, count: int) -> list[str]:
        """The data of the next `count` events after the opening."""
        found = []
        while len(found) < count:
            frame = self.read_until(b"\n\n")
            if b"event: streamy.open\n" in frame:
                continue
            if line := re.search(rb"^data: (.*)$", frame, re.MULTILINE):
                found.append(line[1].decode())
        return found


class House:
    """A loop with everything it needs, and what it told."""

    def __init__(self, hub: Hub, policy: SlowClientPolicy) -> None:
        self.hub = hub
        self.gone: list[tuple[str | None, str]] = []
        self.slow: list[Lag] = []
        self.delivered: list[int] = []  # to how many clients each chunk went
        self.events = 0  # each once for each client
        self.on_connect: Callable[[ClientInfo], None] = lambda client: None
        self.on_revoke: Callable[[ClientInfo, Collection[str]], None] = lambda client, streams: None
        self.replayer = Replayer(FixedDelay(0.01, retries=1000), hub.log.failed)
        self.clock = ManualClock()
        self.rechecks = Rechecks(Settings(clock=self.clock), leaving=lambda count: None)
        self.loop = Loop(
            self.replayer,
            policy=policy,
            give_up_after=30.0,
            last_bytes=lambda reason: b"retry: 99\n\n",
            gone=lambda client, reason: self.gone.append((client.session.key, reason)),
            concerned=lambda session: False,
            rechecks=self.rechecks,
            observer=_Telling(self),
        )
        self._visitors: list[socket.socket] = []

    def visit(self, *names: str, **more: Any) -> Visitor:
        """`enter`, and wait for the head."""
        visitor = self.enter(*names, **more)
        assert visitor.read_until(b"\n\n") == b"HEAD\n\n"
        return visitor

    def enter(
        self,
        *names: str,
        after: str | None = None,
        keep_alive: KeepAliveScheduler | None = None,
        key: str | None = None,
        age: float | None = None,
        buffers: int | None = None,
        default_name: str = "message",
        tells_streams: bool = False,
        chunked: bool = False,
        floor: str | None = None,
        recheck: Recheck | None = None,
    ) -> Visitor:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            near = socket.socket()
            if buffers:
                near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
            near.connect(listener.getsockname())
            far, _ = listener.accept()
        if buffers:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
        far.setblocking(False)
        wanted, bounds = wanted_within(self.hub.log, list(names or ("news",)), after, None, floor)
        framing = Framing.of(default_name, tells_streams=tells_streams, bounded=floor is not None)
        reader = ByteReader.open_for_client(self.hub, wanted, bounds, framing=framing, retry=1)
        expiry = None if age is None else Expiry(age)
        session = Session(tuple(wanted), key, keep_alive or Never(), expiry, recheck=recheck)
        self.loop.adopt(Arrival(Client(far, session, chunked=chunked), reader, b"HEAD\n\n"))
        self._visitors.append(near)
        return Visitor(near)

    def close(self) -> None:
        self.loop.shutdown(DEADLINE)
        self.replayer.close()
        self.rechecks.close()
        for visitor in self._visitors:
            visitor.close()


class _Telling(Observer):
    def __init__(self, house: House) -> None:
        self._house = house

    def connected(self, client: ClientInfo, delivery: str) -> None:
        self._house.on_connect(client)

    def revoked(self, client: ClientInfo, delivery: str, streams: Collection[str]) -> None:
        self._house.on_revoke(client, streams)

    def slow(self, client: ClientInfo, lag: Lag) -> None:
        self._house.slow.append(lag)

    def delivered(
        self, delivery: str, streams: tuple[str, ...], clients: int, size: int, events: int
    ) -> None:
        self._house.delivered.append(clients)
        self._house.events += events
