"""Publishers with transactions of their own: some held open, some rolled back, some of several streams."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine, create_engine, event

from .conftest import with_driver

PUBLISHERS: Final = 8
EVENTS: Final = 2_000
"""So many are committed, by all of them."""
STREAMS: Final = ("news", "sport", "weather")

_HELD: Final = 0.2
_HELD_FOR: Final = 0.02
_ROLLED_BACK: Final = 0.1

Send = Callable[[Connection, str, str], object]
"""Publishes a text to a stream, within the connection's transaction."""


class Transaction(NamedTuple):
    """Publishes its text to each of these streams, in sorted order.

    held: seconds for which it stays open.
    kept: whether it is committed.
    """

    streams: tuple[str, ...]
    text: str
    held: float
    kept: bool


def transactions(publisher: int) -> Iterator[Transaction]:
    """What this publisher does; always the same."""
    chance = random.Random(publisher)
    left = EVENTS // PUBLISHERS
    for number in itertools.count():
        streams = tuple(sorted(chance.sample(STREAMS, min(left, chance.choice((1, 1, 1, 2, 3))))))
        held = chance.uniform(0, _HELD_FOR) if chance.random() < _HELD else 0.0
        kept = chance.random() >= _ROLLED_BACK
        yield Transaction(streams, f"{publisher} {number}", held, kept)
        if kept and not (left := left - len(streams)):
            return


def texts(publisher: int, stream: str, *, kept: bool) -> list[str]:
    """What this publisher commits to the stream, or rolls back, in order."""
    return [each.text for each in transactions(publisher) if each.kept is kept and stream in each.streams]


def publisher_of(text: str) -> int:
    return int(text.partition(" ")[0])


def publish(engine: Engine, send: Send) -> None:
    """Have all publishers do all they do, at once."""
    with ThreadPoolExecutor(PUBLISHERS) as pool:
        for done in [pool.submit(_publish, engine, send, publisher) for publisher in range(PUBLISHERS)]:
            done.result()


def engine_of(url: str, *, immediate: bool = False) -> Engine:
    """An engine as an app has it. immediate: on SQLite, transactions begin as writers."""
    is_file = url.startswith("sqlite")
    engine = create_engine(with_driver(url), connect_args={"timeout": 30} if is_file else {})
    if immediate:
        # https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#pysqlite-serializable
        event.listen(engine, "connect", _leave_transactions_to_us)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _publish(engine: Engine, send: Send, publisher: int) -> None:
    with engine.connect() as connection:
        for streams, text, held, kept in transactions(publisher):
            with connection.begin() as transaction:
                for stream in streams:
                    send(connection, stream, text)
                time.sleep(held)
                if not kept:
                    transaction.rollback()


def _leave_transactions_to_us(connection: object, _record: object) -> None:
    connection.isolation_level = None  # type: ignore[attr-defined]
