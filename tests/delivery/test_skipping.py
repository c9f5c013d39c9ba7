"""Skipping to the latest: what is left out is told of, once, and nothing else is left out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

from streamy_core import BrokerUnavailable, Event
from streamy_core.engine.byte_reader import ByteReader
from streamy_core.engine.expiry import as_stored
from streamy_core.engine.frames import Framing, Moment
from streamy_core.engine.hub import Hub
from streamy_core.engine.log import Part
from streamy_core.engine.reader import SLICE
from streamy_core.observers import GapCause, Observer
from streamy_core.testing.reading import events

from ..engine.doubles import FaultyBroker


@pytest.fixture
def noticed() -> list[str]:
    """The streams of which a gap or an end was told, in order."""
    return []


@pytest.fixture
def connect(make_hub: Callable[..., Hub], noticed: list[str]) -> Callable[..., ByteReader]:
    class Hearing(Observer):
        def gap(self, stream_id: str, cursor: str, goes_on: str, cause: GapCause) -> None:
            assert cause is GapCause.SKIPPED
            noticed.append(stream_id)

    observer = Hearing()

    def make(*names: str) -> ByteReader:
        reader = ByteReader.open_for_client(
            make_hub(observer=observer), dict.fromkeys(names), framing=Framing(), retry=1
        )
        reader.take()
        return reader

    return make


def shown(data: bytes) -> list[str]:
    """The name of each of our own events, and the first character of the data of others."""
    lines = re.findall(rb"^(?:event: (streamy\..*)\ndata: .*|data: (.).*)$", data, re.MULTILINE)
    return [(ours or first).decode() for ours, first in lines]


def test_all_but_the_newest_entry_is_left_out_and_told_of(
    connect: Callable[..., ByteReader], broker: FaultyBroker, noticed: list[str]
) -> None:
    reader = connect("news")
    broker.append("news", events("1", "2", "3"))
    assert shown(reader.skip_to_newest()) == ["streamy.gap", "3"]
    assert noticed == ["news"]


def test_a_single_entry_is_no_gap(
    connect: Callable[..., ByteReader], broker: FaultyBroker, noticed: list[str]
) -> None:
    reader = connect("news")
    broker.append("news", events("1"))
    assert shown(reader.skip_to_newest()) == ["1"]
    assert noticed == []


def test_an_event_that_was_over_before_the_client_came_is_no_newest_entry(
    connect: Callable[..., ByteReader], broker: FaultyBroker
) -> None:
    over = as_stored(Event("over", expires=0), time.time())
    reader = connect("news")
    broker.append("news", [*events("1", "2"), over])
    reader.came = Moment.now()
    assert shown(reader.skip_to_newest()) == ["streamy.gap", "2"]


def test_of_an_ended_stream_the_newest_entry_comes_before_its_end(
    connect: Callable[..., ByteReader], broker: FaultyBroker
) -> None:
    reader = connect("news")
    broker.append("news", events("1", "2", "3"))
    broker.end("news")
    assert shown(reader.skip_to_newest()) == ["streamy.gap", "3", "streamy.end"]
    assert reader.finished


def test_streams_whose_newest_entries_are_too_much_at_once_have_their_turn_later(
    connect: Callable[..., ByteReader], broker: FaultyBroker, noticed: list[str]
) -> None:
    reader = connect("a", "b", "c")
    for name in "abc":
        broker.append(name, events(*[f"{name}{n}".ljust(SLICE * 2 // 3) for n in range(3)]))
    assert shown(reader.skip_to_newest()) == ["streamy.gap", "a", "streamy.gap", "b"]
    assert noticed == ["a", "b"], "no gap is told of where none is"
    assert shown(reader.skip_to_newest()) == ["streamy.gap", "c"]


def test_an_outage_in_the_middle_leaves_all_as_it_was(
    connect: Callable[..., ByteReader],
    broker: FaultyBroker,
    noticed: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = connect("a", "b")
    for name in "ab":
        broker.append(name, events(*[f"{name}{n}" for n in range(3)]))
    read = reader.hub.log.read

    def fail_for_b(cursors: dict[str, str], max_bytes: int) -> dict[str, Part]:
        if "b" in cursors:
            raise BrokerUnavailable("away")
        return read(cursors, max_bytes)

    with monkeypatch.context() as outage:
        outage.setattr(reader.hub.log, "read", fail_for_b)
        with pytest.raises(BrokerUnavailable):
            reader.skip_to_newest()
    assert noticed == []
    assert shown(reader.skip_to_newest()) == ["streamy.gap", "a", "streamy.gap", "b"]
