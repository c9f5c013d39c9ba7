"""An event's meta in the table of entries, which has no column for it, so that older tables do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamy_backends.sql import from_url
from streamy_core import Event, InvalidEvent
from streamy_core.broker import Broker, DamagedEvent
from streamy_core.testing.reading import read_all

EVENT = Event("da\nta", "name", 7, meta={"line\n": "\n"})


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with from_url(f"sqlite:///{tmp_path / 'streams.db'}", {}) as broker:
        yield broker


def do(folder: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "streams.db")) as database, database:
        return database.execute(sql).fetchall()


ROWS = "SELECT name, retry, data FROM streamy_entries WHERE sequence > 0 ORDER BY sequence"


def test_an_event_without_a_meta_is_written_as_it_always_was(broker: Broker, tmp_path: Path) -> None:
    broker.append("news", [Event("data", "name", 7), Event("data")])
    assert do(tmp_path, ROWS) == [("name", 7, "data"), (None, None, "data")]


def test_an_older_release_takes_one_with_a_meta_for_damaged(broker: Broker, tmp_path: Path) -> None:
    broker.append("news", [EVENT])
    ((name, retry, data),) = do(tmp_path, ROWS)
    with pytest.raises(InvalidEvent):
        Event(data, name, retry)  # type: ignore[arg-type] - as it reads


@pytest.mark.parametrize(
    "data", ["", "data", " \n", "7 {}", "x {}\n", ' {"a":1}\n', "{}\n", f" {'[' * 5_000}\n"]
)
def test_a_meta_that_somebody_else_has_written_spoils_its_entry_only(
    broker: Broker, tmp_path: Path, data: str
) -> None:
    ids = broker.append("news", [EVENT, EVENT, EVENT])
    do(tmp_path, f"UPDATE streamy_entries SET data = '{data}' WHERE sequence = 2")
    do(tmp_path, "UPDATE streamy_entries SET data = 5 WHERE sequence = 3")
    sound, *spoilt = read_all(broker, "news")
    assert sound.event == EVENT
    assert [entry.id for entry in spoilt] == ids[1:]
    assert all(isinstance(entry.event, DamagedEvent) for entry in spoilt)


def test_pages_get_on_whose_metas_are_larger_than_their_bound(broker: Broker) -> None:
    ids = broker.append("news", [Event("x", meta={"m": "x" * 1_000})] * 5)
    cursor, found = "", []
    while len(found) < 5:
        page = broker.read({"news": cursor}, 100, 3)["news"]
        assert page.entries, "a page stands still"
        found += [entry.id for entry in page.entries]
        cursor = page.cursor
    assert found == ids
