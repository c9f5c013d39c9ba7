"""What goes out for a client that comes back, as a reader that takes the standard to the letter has it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest

from streamy_backends.memory import Limits
from streamy_core import GAP, OLDEST, OPEN
from streamy_core.engine.byte_reader import ByteReader
from streamy_core.engine.earlier import wanted_of
from streamy_core.engine.frames import Framing
from streamy_core.engine.hub import Hub
from streamy_core.ids import join_cursors
from streamy_core.testing.event_stream import parsed
from streamy_core.testing.reading import events

from .doubles import FaultyBroker

STREAMS = ["a", "b", "c"]


@pytest.fixture
def broker() -> Iterator[FaultyBroker]:
    with FaultyBroker(Limits(history=10)) as broker:
        yield broker


def sent(hub: Hub, after: str, *names: str) -> bytes:
    """All that a client of these streams is sent that comes back with this id."""
    reader = ByteReader.open_for_client(
        hub, wanted_of(hub.log, list(names), after or OLDEST, None), framing=Framing(), retry=1
    )
    data = b""
    while True:
        if part := reader.take():
            data += part
        elif reader.level:
            return data
        else:
            data += reader.catch_up()


def as_the_standard_has_it(stream: bytes, before: str) -> tuple[list[tuple[str, str]], str]:
    """The events of a stream that was cut here, and the last event id, by WHATWG HTML section 9.2.6.

    The id buffer is empty at the start of each connection; a blank line makes it the last event id.
    """
    reader = parsed([stream])
    had_a_blank_line = b"\n\n" in stream
    return [(event.type, event.data) for event in reader.events if event.type != OPEN], (
        reader.last_event_id if had_a_blank_line else before
    )


def cuts(stream: bytes) -> list[bytes]:
    """The stream up to the end of each of its lines, as a network may cut it."""
    return [stream[: found.end()] for found in re.finditer(rb"\n", stream)]


def test_wherever_the_connection_is_cut_each_gap_is_told_and_nothing_is_lost(
    broker: FaultyBroker, hub: Hub
) -> None:
    start = join_cursors(broker.tail(STREAMS))
    broker.append("a", events("1", "2"))
    for name in ("b", "c"):
        broker.append(name, events(*[f"{name}{number}" for number in range(15)]))
    whole = sent(hub, start, *STREAMS)
    expected, _ = as_the_standard_has_it(whole, start)
    assert sorted(json.loads(data)["stream"] for kind, data in expected if kind == GAP) == ["b", "c"]
    for first in cuts(whole):
        had, place = as_the_standard_has_it(first, start)
        more, _ = as_the_standard_has_it(sent(hub, place, *STREAMS), place)
        kept = [(kind, data) for kind, data in had + more if kind != GAP]
        gaps = {json.loads(data)["stream"] for kind, data in had + more if kind == GAP}
        assert sorted(kept) == sorted((kind, data) for kind, data in expected if kind != GAP)
        assert gaps == {"b", "c"}


@pytest.mark.parametrize("cursor", ["x", "a.b.c", "é", "0"])
def test_a_cursor_that_is_none_is_not_passed_on_and_the_gap_is_told_until_it_was(
    broker: FaultyBroker, hub: Hub, cursor: str
) -> None:
    broker.append("a", events("1"))
    whole = sent(hub, cursor, "a")
    for first in cuts(whole):
        had, place = as_the_standard_has_it(first, cursor)
        more, _ = as_the_standard_has_it(sent(hub, place, "a"), place)
        assert GAP in [kind for kind, _ in had + more]


def test_who_begins_with_the_oldest_entry_has_a_place_with_the_first(broker: FaultyBroker, hub: Hub) -> None:
    ids = broker.append("a", events("1", "2"))
    for first in cuts(sent(hub, "", "a")):
        had, place = as_the_standard_has_it(first, "")
        assert place == (ids[len(had) - 1] if had else "")


def test_an_end_that_was_not_told_is_told_to_who_comes_back(
    broker: FaultyBroker, hub: Hub, make_hub: Callable[..., Hub]
) -> None:
    broker.append("a", events("1"))
    broker.end("a")
    whole = sent(hub, "", "a")
    for first in cuts(whole):
        had, place = as_the_standard_has_it(first, "")
        more, _ = as_the_standard_has_it(sent(hub, place, "a"), place)
        assert [kind for kind, _ in had + more] == ["message", "streamy.end"]
