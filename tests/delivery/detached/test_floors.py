"""Clients that may read only so far back, by the loop: what a lost history gives back, they don't get."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamy_core.broker import Broker, Forgets
from streamy_core.plugins import open_broker
from streamy_core.testing.reading import data_of, events, eventually, read_all

from .house import House


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with open_broker(f"sqlite:///{tmp_path}/streams.db") as broker:
        yield broker


@pytest.fixture
def house(broker: Broker, make_house: Callable[..., House]) -> House:
    return make_house()


def lose_all(broker: Broker) -> None:
    assert isinstance(broker, Forgets)
    broker.forget(0)


def floor_of(broker: Broker) -> str:
    return broker.append("news", events(*"abc"))[1]


@pytest.mark.parametrize("names", [("news",), ("news", "mine")])
def test_only_those_with_a_floor_are_disconnected_when_a_history_is_lost(
    house: House, broker: Broker, names: tuple[str, ...]
) -> None:
    floor = floor_of(broker)
    bounded = [house.visit(*names, key="bounded", floor=floor) for _ in range(3)]
    free = house.visit(*names, key="free")
    broker.append("news", events("d"))
    assert [visitor.data(1) for visitor in (*bounded, free)] == [["d"]] * 4
    lose_all(broker)
    broker.append("news", events("restored"))
    for visitor in bounded:
        rest = visitor.read_to_the_close()
        assert b"restored" not in rest
        assert rest.endswith(b"retry: 99\n\n")
    assert "restored" in free.data(2)
    eventually(lambda: house.gone == [("bounded", "history lost")] * 3, "the loop has let go")


def test_a_replay_that_meets_a_lost_history_stops(house: House, broker: Broker) -> None:
    floor = floor_of(broker)
    broker.append("news", events(*["x" * 60_000] * 40))
    slow = house.enter(floor=floor, after=floor, key="slow", buffers=4096)
    slow.read_until(b"HEAD\n\n")
    slow.read_until(b"xxxx")
    lose_all(broker)
    broker.append("news", events("restored"))
    assert b"restored" not in slow.read_to_the_close()
    eventually(lambda: house.gone == [("slow", "history lost")], "the loop has let go")


def test_who_comes_back_from_a_history_of_which_the_newest_entries_are_lost_gets_a_gap_and_what_came_since(
    house: House, broker: Broker, tmp_path: Path
) -> None:
    floor = floor_of(broker)
    free = house.visit()  # for whom the process keeps what both histories had
    lost = broker.append("news", events("d", "e"))[-1]
    assert free.data(2) == ["d", "e"]
    with closing(sqlite3.connect(tmp_path / "streams.db")) as db:
        db.execute("DELETE FROM streamy_entries WHERE sequence > 3")
        db.execute("UPDATE streamy_streams SET head = 3")
        db.commit()
    broker.append("news", events("f", "g", "h"))
    assert "h" in free.data(7)
    visitor = house.visit(floor=floor, after=lost)
    broker.append("news", events("i"))
    gap, *rest = visitor.data(5)
    assert "from" in gap
    assert rest == ["c", "f", "g", "h"]


def test_those_with_a_floor_and_those_without_get_the_same(house: House, broker: Broker) -> None:
    floor = floor_of(broker)
    visitors = [house.visit(after=floor, **more) for more in ({}, {"floor": floor}, {"floor": floor})]
    for letter in "defg":
        broker.append("news", events(letter))
    assert [visitor.data(5) for visitor in visitors] == [list("cdefg")] * 3
    assert data_of(read_all(broker, "news")) == list("abcdefg")
