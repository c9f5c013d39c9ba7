"""Servers that are killed in the midst of publishing: nothing is lost, and nothing doubled."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import pytest

from streamy_core import StreamManager
from streamy_core.engine.health import Health
from streamy_core.strategies import ExponentialBackoff
from streamy_core.testing.reading import read_all

from ...support.app_server import AppServer
from ...support.crowd import Crowd, Record

CLIENTS: Final = 20
PUBLISHERS: Final = 4


class Killable(Protocol):
    """A server of the test's own. Its data lie on a disk, and what it has acknowledged is there."""

    @property
    def url(self) -> str: ...

    def start(self) -> Any: ...

    def kill(self) -> None: ...


class KilledServer:
    """The faults of a contract: a server that dies, and is started again."""

    def __init__(self, server: Killable) -> None:
        self.stop = server.kill
        self._server = server

    def start(self) -> None:
        self._server.start()


@dataclass
class Outage:
    """What came of publishing numbers while the server was killed and started again.

    acknowledged: number -> the id that `send_event` returned.
    log:          id and number of each entry, in order.
    received:     id, event name and data of what each client got.
    connections:  how often each client had to connect.
    """

    acknowledged: dict[int, str] = field(default_factory=dict)
    log: list[tuple[str, int]] = field(default_factory=list)
    received: list[list[tuple[str | None, str, str | None]]] = field(default_factory=list)
    connections: list[int] = field(default_factory=list)
    health_while_away: Health | None = None
    health_in_the_end: Health | None = None


def kill_a_server(server: Killable, folder: Path, events: int) -> Outage:
    """Have several threads publish so many events while a crowd reads and the server is killed.

    It is killed after a third of them, and started again once the worker knows.
    """
    url = f"{server.url}?history=10000"
    retry = ExponentialBackoff(retries=50, first=0.05, ceiling=0.5)
    found, record = Outage(), Record()
    with ExitStack() as to_close:
        worker = to_close.enter_context(reading_worker(folder, url))
        to_close.callback(lambda: print(worker.log()))
        sse = to_close.enter_context(StreamManager(broker=url, retry=retry))

        def publish(first: int) -> None:
            for number in range(first, events, PUBLISHERS):
                found.acknowledged[number] = sse.send_event("news", str(number))

        pool = to_close.enter_context(ThreadPoolExecutor(PUBLISHERS))
        crowd = to_close.enter_context(Crowd(worker.address, worker.path("news"), CLIENTS, record))
        crowd.run_until_open()
        publishing = [pool.submit(publish, first) for first in range(PUBLISHERS)]
        crowd.run_until(lambda: len(found.acknowledged) >= events // 3, "the first events")
        server.kill()
        crowd.run_until(lambda: worker.health().failing, "a worker that knows")
        found.health_while_away = worker.health()
        server.start()
        crowd.run_until(lambda: not wait(publishing, 0).not_done, "the other events", within=60)
        for publisher in publishing:
            publisher.result()
        entries = read_all(sse.broker, "news")
        found.log = [(entry.id, int(entry.event.data)) for entry in entries]
        crowd.run_until(
            lambda: all(len(record.frames[source]) >= len(entries) for source in crowd.sources),
            "all events at all clients",
        )
        found.received = [
            [(frame.id, frame.name, frame.data) for frame in record.frames[source]]
            for source in crowd.sources
        ]
        found.connections = [source.connections for source in crowd.sources]
        found.health_in_the_end = worker.health()
    return found


def reading_worker(folder: Path, url: str) -> AppServer:
    """One gunicorn worker, started, whose hub tries again soon. url: the broker's."""
    settings = {"STREAMY_BROKER_URL": url, "STREAMY_RETRY_POLICY": "tests.support.app:SOON"}
    return AppServer(folder / "gunicorn.log", settings=settings).start()


class OutagePromises:
    """What holds on every backend whose server can die. Subclassed with the fixture `outage`."""

    EVENTS: int = 3_000

    @pytest.fixture
    def outage(self) -> Outage:
        """To be given by the subclass: what came of killing a server."""
        raise NotImplementedError("define the fixture outage: what `kill_a_server` returns")

    def test_every_event_acknowledged_before_or_after_a_kill_is_in_the_log_by_its_id(
        self, outage: Outage
    ) -> None:
        assert len(outage.acknowledged) == self.EVENTS
        acknowledged = {(entry_id, number) for number, entry_id in outage.acknowledged.items()}
        assert acknowledged <= set(outage.log)

    def test_no_event_published_through_a_kill_is_stored_twice(self, outage: Outage) -> None:
        numbers = Counter(number for _, number in outage.log)
        assert [number for number, times in numbers.items() if times > 1] == []

    def test_events_published_through_a_kill_keep_their_publishers_order(self, outage: Outage) -> None:
        for publisher in range(PUBLISHERS):
            numbers = [number for _, number in outage.log if number % PUBLISHERS == publisher]
            assert numbers == sorted(numbers)

    def test_every_client_gets_the_whole_log_once_and_in_order_through_a_kill(self, outage: Outage) -> None:
        expected = [(entry_id, "message", str(number)) for entry_id, number in outage.log]
        assert [received == expected for received in outage.received] == [True] * CLIENTS

    def test_no_client_has_to_reconnect_because_the_server_was_killed(self, outage: Outage) -> None:
        assert outage.connections == [1] * CLIENTS

    def test_health_shows_a_killed_server_and_that_it_is_back(self, outage: Outage) -> None:
        assert outage.health_while_away is not None
        assert outage.health_in_the_end is not None
        assert outage.health_while_away.failing
        assert not outage.health_in_the_end.failing
        assert outage.health_in_the_end.failures >= outage.health_while_away.failures > 0
