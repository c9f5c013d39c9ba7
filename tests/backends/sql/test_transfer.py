"""How much of a log a database hands out: not much more than is delivered, whatever the sizes."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import event

from streamy_backends.sql.pages import Range, Row
from streamy_backends.sql.server import completed, unsent
from streamy_core import OLDEST
from streamy_core.broker import Broker
from streamy_core.testing.reading import data_of, events, read

from ...support.proxy import Proxy
from ..conftest import NewBroker
from .conftest import NewEngine
from .servers import Server

BOUND: Final = 256 * 1024
LARGE: Final = 200_000
MANY: Final = [f"news-{n}" for n in range(10)]


class Counted:
    """A broker, and how many bytes its database has handed out to it.

    overhead: how many times as much as is delivered may be handed out, where entries are of one size.
    """

    broker: Broker
    overhead: float

    @property
    def bytes(self) -> int:
        raise NotImplementedError

    def during(self, action: Callable[[], object]) -> int:
        """The bytes that this brings about."""
        before = self.bytes
        action()
        return self.bytes - before


class CountedServer(Counted):
    """Counted on the way, by a proxy."""

    overhead = 1.1

    def __init__(self, proxy: Proxy, broker: Broker) -> None:
        self._proxy = proxy
        self.broker = broker

    @property
    def bytes(self) -> int:
        return self._proxy.replied


class CountedFile(Counted):
    """Counted as Python's driver makes texts of it: of one entry for each page in vain."""

    overhead = 2.0

    def __init__(self, new_engine: NewEngine, new_broker: NewBroker, url: str) -> None:
        self._bytes = 0
        engine = new_engine(url)
        event.listen(engine, "connect", self._count)
        self.broker = new_broker("sql:", engine=engine)

    @property
    def bytes(self) -> int:
        return self._bytes

    def _count(self, connection: sqlite3.Connection, _record: object) -> None:
        connection.text_factory = self._decode

    def _decode(self, data: bytes) -> str:
        self._bytes += len(data)
        return data.decode()


@pytest.fixture(params=["sqlite", "postgresql", "postgresql without notify", "mariadb", "mysql"])
def counted(
    request: pytest.FixtureRequest,
    shared: Callable[[str], Server],
    new_broker: NewBroker,
    new_engine: NewEngine,
    tmp_path: Path,
) -> Iterator[Counted]:
    """ "mysql" is a MariaDB server that is spoken to as if it were MySQL."""
    kind = request.param.partition(" ")[0]
    if kind == "sqlite":
        yield CountedFile(new_engine, new_broker, f"sqlite:///{tmp_path}/streams.db")
        return
    server = shared("mariadb" if kind == "mysql" else kind)
    options: dict[str, Any] = {"notify": False} if kind != request.param else {}
    with Proxy(("127.0.0.1", server.port)) as proxy:
        url = proxy.through(server.url).replace("mariadb:", f"{kind}:")
        broker = new_broker(url, **options)
        yield CountedServer(proxy, broker)
        broker.close()


@pytest.fixture
def broker(counted: Counted) -> Broker:
    return counted.broker


def replay(broker: Broker, names: list[str], max_bytes: int | None) -> dict[str, list[str]]:
    """The data of these streams, read together until there is no more."""
    found: dict[str, list[str]] = {name: [] for name in names}
    cursors = dict.fromkeys(names, OLDEST)
    while cursors:
        pages = broker.read(cursors, 100, max_bytes)
        for name, page in pages.items():
            assert not page.gap
            found[name] += data_of(page.entries)
        cursors = {name: page.cursor for name, page in pages.items() if page.more}
    return found


def test_a_replay_of_large_entries_hands_out_little_more_than_it_delivers(counted: Counted) -> None:
    data = [f"{n} ".ljust(LARGE, "x") for n in range(200)]
    for first in range(0, 200, 20):
        counted.broker.append("news", events(*data[first : first + 20]))
    found: dict[str, list[str]] = {}
    handed_out = counted.during(lambda: found.update(replay(counted.broker, ["news"], BOUND)))
    assert found["news"] == data
    assert handed_out < counted.overhead * sum(map(len, data))


def test_a_replay_of_many_streams_at_once_does_too(counted: Counted) -> None:
    for name in MANY:
        counted.broker.append(name, events(*["x" * 50_000] * 10))
    found: dict[str, list[str]] = {}
    handed_out = counted.during(lambda: found.update(replay(counted.broker, MANY, BOUND)))
    assert {name: len(data) for name, data in found.items()} == dict.fromkeys(MANY, 10)
    assert handed_out < counted.overhead * len(MANY) * 10 * 50_000


def sizes_by_chance(count: int) -> list[int]:
    """Most of them small, some large, one in a hundred very large; always the same."""
    chance = random.Random(7)
    return [round(chance.paretovariate(0.6) * 100) % 60_000 for _ in range(count)]


def test_a_replay_of_entries_of_all_sizes_hands_out_no_more_than_twice_what_it_delivers(
    counted: Counted,
) -> None:
    sizes = sizes_by_chance(600)
    counted.broker.append("news", events(*["x" * size for size in sizes]))
    handed_out = counted.during(lambda: replay(counted.broker, ["news"], 30_000))
    assert handed_out < 2 * (sum(sizes) + 600 * 50)


def test_for_a_cursor_of_nobody_nothing_of_the_log_is_handed_out(counted: Counted) -> None:
    counted.broker.append("news", events(*["x" * 10_000] * 20))
    assert counted.during(lambda: read(counted.broker, "news", "x", 100, BOUND)) < 5_000


@pytest.mark.parametrize("bound", [1, 999, 1_000, 1_001, 5_000, 20_000, 100_000, None])
def test_a_page_is_what_fits_whatever_the_sizes(broker: Broker, bound: int | None) -> None:
    sizes = [0, 10, 5_000, 0, 1, 1_000, 20_000, 3, 0, 7, 999, 50, 100_000, 0, 2] * 3
    ids = broker.append("news", events(*["x" * size for size in sizes]))
    for first, cursor in enumerate([OLDEST, *ids]):
        expected = fitting(sizes[first:], 40, bound)
        page = read(broker, "news", cursor, 40, bound)
        assert [len(text) for text in data_of(page.entries)] == expected
        assert page.more == (first + len(expected) < len(sizes))


@pytest.mark.parametrize("bound", [10, 20_000, 200_000, 2_000_000])
def test_pages_of_many_streams_are_what_fits_into_their_shares_whatever_the_sizes(
    broker: Broker, bound: int
) -> None:
    cursors, expected = {}, {}
    for number, name in enumerate(MANY):
        sizes = sizes_by_chance(80)[number:]
        ids = broker.append(name, events(*["x" * size for size in sizes]))
        cursors[name] = ids[3 * number]
        expected[name] = fitting(sizes[3 * number + 1 :], 30, bound // len(MANY))
    pages = broker.read(cursors, 30, bound)
    assert {name: list(map(len, data_of(page.entries))) for name, page in pages.items()} == expected


def fitting(sizes: list[int], limit: int, bound: int | None) -> list[int]:
    """Those of the sizes that a page holds."""
    taken = sizes[:1]
    for size in sizes[1:limit]:
        if bound is not None and sum(taken) + size > bound:
            break
        taken.append(size)
    return taken


def row(sequence: int, size: int, *, sent: bool = True, nonce: str = "abc") -> Row:
    return Row(sequence, nonce, None, None, "x" * size if sent else None, None if sent else size)


def test_what_was_sent_whole_is_not_asked_for_again() -> None:
    assert unsent([row(7, 9, sent=False), row(8, 5), row(9, 5)], Range(7, 10), 100) is None


def test_what_does_not_fit_is_not_asked_for() -> None:
    assert unsent([row(8, 90), row(9, 11, sent=False), row(10, 1, sent=False)], Range(7, 10), 100) is None


def test_what_fits_and_was_not_sent_is_asked_for_from_its_first_to_its_last() -> None:
    rows = [row(8, 10), row(9, 20, sent=False), row(10, 1), row(11, 30, sent=False), row(12, 90, sent=False)]
    assert unsent(rows, Range(7, 10), 100) == Range(8, 3)


def test_what_was_asked_for_later_is_filled_in_if_it_is_the_same_entry() -> None:
    rows = [row(8, 1), row(9, 2, sent=False), row(10, 3, sent=False)]
    later = [row(8, 1, sent=False), row(9, 2), row(10, 3, nonce="xyz")]
    assert [row.data for row in completed(rows, later)] == ["x", "xx", None]
