"""Whoever asks for all that is kept delays no live event, and costs next to no memory.

`TEST_REPLAY=200000` asks for more than a run in CI, and then for what a quiet machine has to keep.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import psutil
import pytest

from ..backends.redis.conftest import program
from ..backends.redis.servers import Server as RedisServer
from ..support.app_server import AppServer
from ..support.crowd import Crowd, Source
from ..support.event_stream import Frame
from ..support.web_server import Pair
from .conftest import NewWorker
from .rude import FORGED, ask

pytestmark = pytest.mark.slow

FULL: Final = "TEST_REPLAY" in os.environ
ENTRIES: Final = int(os.environ.get("TEST_REPLAY", "20000"))
CLIENTS, LIVE, RATE = 20, 5, 50
SIZE, BATCH = 100, 1_000
GROWS_BY: Final = 64 * 2**20
"""Bytes of memory at most."""

LATE: Final = {"detached": 0.1, "wsgi": 0.3} if FULL else {"detached": 1.0, "wsgi": 1.0}
"""Seconds for ninety-nine of a hundred live events."""


@pytest.fixture(params=["memory", "valkey", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with ExitStack() as to_stop:
        if request.param == "memory":
            yield f"memory://?history={ENTRIES}&history_bytes={2**30}&total_bytes={2**30}"
        elif request.param == "sqlite":
            yield f"sqlite:///{tmp_path}/streams.db?history={ENTRIES}&synchronous=normal"
        else:
            server = RedisServer(program("valkey"), tmp_path).start()
            to_stop.callback(server.stop)
            yield f"{server.url}?history={ENTRIES}"


@contextmanager
def replaying(server: AppServer, last: str) -> Iterator[Replayed]:
    """Clients that ask for all of the stream "old", of which one reads nothing, until the end."""
    socks = [ask(server.address, server.path("old")) for _ in range(CLIENTS)]
    replayed = Replayed(server, socks[1:], last)
    thread = threading.Thread(target=replayed.run)
    thread.start()
    try:
        yield replayed
    finally:
        replayed.stop = True
        thread.join()
        for sock in socks:
            sock.close()


class Replayed:
    """Reads as fast as it can, and asks again where it was told to come back.

    done: how many have had the last entry. most: the most bytes of memory that the worker had.
    """

    def __init__(self, server: AppServer, socks: list[socket.socket], last: str) -> None:
        self.stop = False
        self.done = 0
        self.most = 0
        self._server = server
        self._last = f"id: {last}\n".encode()
        self._worker = psutil.Process(server.children[0])
        self._selector = selectors.DefaultSelector()
        for sock in socks:
            self._selector.register(sock, selectors.EVENT_READ, bytearray())

    def run(self) -> None:
        looked_at = 0.0
        while not self.stop:
            for key, _ in self._selector.select(0.05):
                assert isinstance(key.fileobj, socket.socket)
                self._read(key.fileobj, key.data)
            if time.monotonic() - looked_at > 0.1:
                looked_at = time.monotonic()
                self.most = max(self.most, self._worker.memory_info().rss)
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()

    def _read(self, sock: socket.socket, tail: bytearray) -> None:
        try:
            data = sock.recv(262_144)
        except OSError:
            data = b""
        tail += data
        if self._last in tail:
            self.done += 1
        elif data:
            del tail[:-200]  # an id may be cut in two
            return
        self._selector.unregister(sock)
        sock.close()
        if self._last not in tail:
            place = tail.rpartition(b"id: ")[2].partition(b"\n")[0].decode() or FORGED
            again = ask(self._server.address, self._server.path("old"), cursor=place)
            self._selector.register(again, selectors.EVENT_READ, bytearray())


@pytest.mark.parametrize("delivery", ["detached", "wsgi"])
def test_a_full_replay_delays_no_live_event_and_costs_little_memory(
    new_worker: NewWorker, url: str, delivery: str
) -> None:
    worker = new_worker(Pair("gthread", delivery, threads=64), broker_url=url, wsgi_slots=CLIENTS + LIVE)
    for number in range(0, ENTRIES, BATCH):
        ids = worker.batch("old", [f"{n:0{SIZE}}" for n in range(number, number + BATCH)])
    late: list[float] = []

    def hear(source: Source, frame: Frame, at: float) -> None:
        late.append(at - float((frame.data or "").split()[0]))

    with Crowd(worker.address, worker.path("live"), LIVE, hear) as crowd:
        crowd.run_until_open()
        before = worker.stats().resident
        with replaying(worker, ids[-1]) as replayed:
            worker.publish("live", count=RATE * 20, size=SIZE, rate=RATE)
            crowd.run_until(lambda: replayed.done == CLIENTS - 1, "the whole log, by all who read", 110.0)
            grown = replayed.most - before
        late.sort()
        print(
            f"live events: p50 {late[len(late) // 2]:.3f} s, p99 {late[int(len(late) * 0.99)]:.3f} s, "
            f"{len(late)} of them; memory grew by {grown / 2**20:.0f} MiB"
        )
        assert len(late) > 2 * LIVE
        assert late[int(len(late) * 0.99)] < LATE[delivery]
        assert grown < GROWS_BY
