"""Events that are only for now: for those who are connected, and not for those who come later."""

from __future__ import annotations

import re
import time

import pytest

from streamy_core import Event
from streamy_core.engine.expiry import as_stored
from streamy_core.ids import join_cursors
from streamy_core.testing.reading import events

from ...engine.doubles import FaultyBroker
from .house import House

STREAMS = [("news",), ("news", "user")]


def over(data: str, name: str | None = None) -> Event:
    """One that is only for those who are there."""
    return as_stored(Event(data, name, expires=0), time.time())


@pytest.mark.parametrize("streams", STREAMS)
def test_who_is_there_gets_it_though_others_ask_for_the_same_later(
    house: House, broker: FaultyBroker, streams: tuple[str, ...]
) -> None:
    first = house.visit(*streams)
    broker.append("news", events("a"))
    before = join_cursors(broker.tail(streams))
    broker.append("news", [over("now")])
    assert first.data(2) == ["a", "now"]
    second = house.visit(*streams, after=before)
    third = house.visit(*streams, after=before)
    broker.append("news", [over("now again")])
    for visitor in (first, second, third):
        assert visitor.data(1) == ["now again"]


@pytest.mark.parametrize("streams", STREAMS)
def test_who_is_there_gets_it_from_a_publisher_whose_clock_is_behind(
    house: House, broker: FaultyBroker, streams: tuple[str, ...]
) -> None:
    first = house.visit(*streams)
    broker.append("news", events("a"))
    before = join_cursors(broker.tail(streams))
    assert first.data(1) == ["a"]
    broker.append("news", [as_stored(Event("now", expires=0), time.time() - 3_600), *events("b")])
    assert first.data(2) == ["now", "b"]
    assert house.visit(*streams, after=before).data(1) == ["b"]


@pytest.mark.parametrize("streams", STREAMS)
def test_who_comes_later_is_moved_on_by_ids_alone(
    house: House, broker: FaultyBroker, streams: tuple[str, ...]
) -> None:
    first = house.visit(*streams)
    broker.append("news", events("a"))
    before = join_cursors(broker.tail(streams))
    broker.append("news", [over("now", "typing")])
    broker.append("news", [over("now")])
    assert first.data(3) == ["a", "now", "now"]
    second = house.visit(*streams, after=before, default_name="tick")
    opening, *passed = [second.read_until(b"\n\n") for _ in range(3)]
    assert b"streamy.open" in opening
    assert all(re.fullmatch(rb"id: \S+\n\n", frame) for frame in passed)


@pytest.mark.parametrize("streams", STREAMS)
def test_who_is_there_gets_it_together_with_the_end(
    house: House, broker: FaultyBroker, streams: tuple[str, ...]
) -> None:
    visitor = house.visit(*streams)
    broker.append("news", events("level"))
    assert visitor.data(1) == ["level"]
    broker.deaf = True
    broker.append("news", [over("now")])
    broker.deaf = False
    broker.end("news")
    assert visitor.data(2) == ["now", '{"stream": "news"}']
