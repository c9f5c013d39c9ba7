"""Transactions that overlap: readers get the commits' order, and skip nothing that is still to come."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import pytest
from sqlalchemy import Connection, Engine, text

from streamy_backends.sql import from_url
from streamy_core import Entry, StreamManager
from streamy_core.ids import sequence_of
from streamy_core.testing.reading import DEADLINE, eventually, read_all

from ...support.process import started_once
from ..conftest import NewManager
from . import load
from .conftest import SERVERS, NewEngine, server_in
from .load import EVENTS, PUBLISHERS, STREAMS, engine_of, publisher_of, texts
from .servers import Server

pytestmark = pytest.mark.slow

ENGINES: Final = {
    "sqlite": False,
    "sqlite, begun as a writer": True,
    "postgresql": False,
    "mariadb": False,
}
"""Which databases, and whether the app's engine begins transactions as writers."""

NEW_STREAMS: Final = [f"new-{number}" for number in range(20)]

_OVER: Final = 60.0


@dataclass
class Followed:
    """What came of the load.

    given:    the ids that `send_event` returned in transactions that were committed, by stream and text.
    logs:     each stream's entries behind its first, read in the end.
    followed: what a subscriber got while it was published.
    """

    given: dict[tuple[str, str], str]
    logs: dict[str, list[Entry]]
    followed: dict[str, list[Entry]]

    def texts(self, stream: str) -> list[str]:
        return [entry.event.data for entry in self.logs[stream]]


@pytest.fixture(scope="module", params=ENGINES)
def followed(
    request: pytest.FixtureRequest,
    shared_servers: dict[str, Server],
    tmp_path_factory: pytest.TempPathFactory,
) -> Followed:
    kind = request.param.partition(",")[0]
    folder = tmp_path_factory.mktemp(kind)
    if kind == "sqlite":
        url = f"sqlite:///{folder}/streams.db"
    else:
        server = started_once(shared_servers, kind, lambda: server_in(kind, folder).start())
        url = server.new_database(folder.name)
    return _follow(url, engine_of(url, immediate=ENGINES[request.param]))


def _follow(url: str, engine: Engine) -> Followed:
    given: dict[tuple[str, str], str] = {}
    with ExitStack() as to_close:
        to_close.callback(engine.dispose)
        sse, reading = [
            to_close.enter_context(
                StreamManager(broker=to_close.enter_context(from_url(url, {"history": 2 * EVENTS})))
            )
            for _ in range(2)
        ]

        def send(connection: Connection, stream: str, data: str) -> None:
            given[stream, data] = sse.send_event(stream, data, session=connection)

        first = {stream: sse.send_event(stream, "the first") for stream in STREAMS}
        pool = to_close.enter_context(ThreadPoolExecutor(1))
        subscription = to_close.enter_context(reading.subscribe(STREAMS))
        following = pool.submit(list, subscription)
        load.publish(engine, send)
        for stream in STREAMS:
            sse.end_stream(stream)
        found = following.result(_OVER)
        return Followed(
            given,
            {stream: read_all(reading.broker, stream, first[stream]) for stream in STREAMS},
            {stream: [entry for entry in found if entry.stream_id == stream] for stream in STREAMS},
        )


def test_no_event_of_overlapping_transactions_is_lost_or_repeated(followed: Followed) -> None:
    for stream in STREAMS:
        kept = [data for publisher in range(PUBLISHERS) for data in texts(publisher, stream, kept=True)]
        assert Counter(followed.texts(stream)) == Counter(kept)


def test_a_subscriber_gets_each_log_once_and_in_order_while_transactions_overlap(followed: Followed) -> None:
    assert followed.followed == followed.logs
    assert sum(map(len, followed.followed.values())) == EVENTS


def test_a_rollback_leaves_nothing_not_even_a_hole(followed: Followed) -> None:
    for stream in STREAMS:
        assert all(texts(publisher, stream, kept=False) for publisher in range(PUBLISHERS))
        numbers = [sequence_of(entry.id) for entry in followed.logs[stream]]
        assert numbers == list(range(2, len(numbers) + 2))


def test_each_publishers_own_order_is_kept(followed: Followed) -> None:
    for stream in STREAMS:
        for publisher in range(PUBLISHERS):
            own = [data for data in followed.texts(stream) if publisher_of(data) == publisher]
            assert own == texts(publisher, stream, kept=True)


def test_an_entry_has_the_id_that_send_event_returned_before_the_commit(followed: Followed) -> None:
    for stream, entries in followed.logs.items():
        assert all(followed.given[stream, entry.event.data] == entry.id for entry in entries)


def test_a_stream_that_many_transactions_begin_at_once_begins_once(
    url: str, new_manager: NewManager, new_engine: NewEngine
) -> None:
    sse, engine = new_manager(url), new_engine(url)
    together = threading.Barrier(PUBLISHERS)

    def publish(publisher: int) -> None:
        with engine.connect() as connection:
            for stream in NEW_STREAMS:
                together.wait(DEADLINE)
                with connection.begin():
                    sse.send_event(stream, str(publisher), session=connection)

    with ThreadPoolExecutor(PUBLISHERS) as pool:
        publishing = [pool.submit(publish, publisher) for publisher in range(PUBLISHERS)]
        done, _ = wait(publishing, return_when=FIRST_EXCEPTION)
        together.abort()
        for each in done:
            each.result()
    for stream in NEW_STREAMS:
        numbers = [sequence_of(entry.id) for entry in read_all(sse.broker, stream)]
        assert numbers == list(range(1, PUBLISHERS + 1))


@dataclass
class PlainTable:
    """A log as one would write it: a number that the database gives, and readers who remember the highest."""

    engine: Engine
    name: str
    number: str

    def clear(self) -> None:
        with self.engine.begin() as connection:
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {self.name}")
            connection.exec_driver_sql(
                f"CREATE TABLE {self.name} (id {self.number} PRIMARY KEY, stream TEXT, data TEXT)"
            )

    def send(self, connection: Connection, stream: str, data: str) -> None:
        insert = text(f"INSERT INTO {self.name} (stream, data) VALUES (:stream, :data)")
        connection.execute(insert, {"stream": stream, "data": data})

    def follow(self, stop: threading.Event) -> int:
        """Read until `stop` is set, and then what is left. Returns how many were found."""
        found = cursor = 0
        behind = text(f"SELECT id FROM {self.name} WHERE id > :cursor ORDER BY id")
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while True:
                last_look = stop.is_set()
                numbers = connection.execute(behind, {"cursor": cursor}).scalars().all()
                found += len(numbers)
                cursor = max(numbers, default=cursor)
                if last_look and not numbers:
                    return found

    def lost(self) -> int:
        """How many of the load's events a reader missed that followed it."""
        self.clear()
        stop = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(self.follow, stop)
            try:
                load.publish(self.engine, self.send)
            finally:
                stop.set()
            return EVENTS - following.result(DEADLINE)


@pytest.fixture(params=SERVERS)
def plain_table(
    request: pytest.FixtureRequest, shared: Callable[[str], Server], prefix: str
) -> Iterator[PlainTable]:
    numbers: dict[str, Any] = {"postgresql": "BIGSERIAL", "mariadb": "BIGINT AUTO_INCREMENT"}
    engine = engine_of(shared(request.param).url)
    yield PlainTable(engine, f"{prefix}plain", numbers[request.param])
    engine.dispose()


def test_the_same_load_loses_events_where_a_reader_remembers_the_highest_number(
    plain_table: PlainTable,
) -> None:
    eventually(lambda: plain_table.lost() > 0, "an event that is lost")
