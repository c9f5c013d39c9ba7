"""Cursors that look like those of the log, and what has been deleted by hand after them."""

from __future__ import annotations

import pytest

from streamy_core import OLDEST
from streamy_core.broker import Broker
from streamy_core.testing.reading import data_of, events, read, read_all

from ..conftest import NewBroker
from .keeping import Tables


@pytest.fixture
def broker(url: str, new_broker: NewBroker) -> Broker:
    return new_broker(url)


def test_another_spelling_of_a_cursor_is_a_gap(broker: Broker) -> None:
    first, _ = broker.append("news", events("a", "b"))
    epoch, number, nonce = first.split(".")
    assert data_of(read(broker, "news", first).entries) == ["b"]
    assert read(broker, "news", f"{epoch}.0{number}.{nonce}").gap


def test_a_number_beyond_all_is_a_gap(broker: Broker) -> None:
    (last,) = broker.append("news", events("a"))
    epoch, _, nonce = last.split(".")
    for number in ("3", "zzzz", "AzL8n0Y58m7", "AzL8n0Y58m8", "zzzzzzzzzzz"):
        assert read(broker, "news", f"{epoch}.{number}.{nonce}").gap


@pytest.mark.parametrize("bound", [None, 1])
def test_what_was_deleted_by_hand_is_a_gap_after_which_reading_goes_on(
    tables: Tables, bound: int | None
) -> None:
    ids = tables.broker.append("news", events(*"abcdefg"))
    tables.do("DELETE FROM {entries} WHERE sequence IN (?, ?)", 3, 4)
    found: list[str] = []
    cursor = OLDEST
    for _ in range(20):
        page = read(tables.broker, "news", cursor, max_bytes=bound)
        found += ["gap"] if page.gap else data_of(page.entries)
        cursor = page.cursor
        if not page.more and not page.gap:
            break
    assert found == ["a", "b", "gap", "e", "f", "g"]
    assert read(tables.broker, "news", ids[2]).gap
    assert data_of(read_all(tables.broker, "news", ids[4])) == ["f", "g"]
