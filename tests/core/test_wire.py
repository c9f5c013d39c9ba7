"""The bytes that go out, held against an independent reader written from the standard."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamy_core.errors import InvalidEvent
from streamy_core.events import MAX_RETRY_MS, Event
from streamy_core.testing.event_stream import Dispatched, parse, parsed
from streamy_core.wire import (
    KEEP_ALIVE,
    encode_body,
    encode_id,
    encode_name,
    encode_opening,
    encode_retry,
)

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# What a line break, a field or the format's own words could be smuggled in with, besides any text.
pieces = st.sampled_from(
    ["\r", "\n", "\r\n", ":", " ", "data: ", "id: ", "event: ", "retry: 1", "\ufeff", "\u2028", "\x0b"]
)
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(characters) | st.lists(pieces | st.text(characters, max_size=3)).map("".join)
names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), min_size=1, max_size=255
)
retries = st.none() | st.integers(0, MAX_RETRY_MS)
ids = st.from_regex(re.compile("[A-Za-z0-9._-]{1,128}", re.ASCII), fullmatch=True)
events = st.builds(Event, texts, st.none() | names, retries)


def encode_event(event: Event, *, id: str | None = None) -> bytes:
    return (encode_id(id) if id is not None else b"") + encode_body(event)


def as_read(data: str) -> str:
    """The data as any reader gets it: every line break is an LF."""
    return data.replace("\r\n", "\n").replace("\r", "\n")


@st.composite
def cut(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    """The stream in chunks, as a network may bring them."""
    cuts = sorted(draw(st.sets(st.integers(0, len(stream)), max_size=10)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


# -- whatever is sent, arrives


@unhurried
@given(st.data(), events, ids)
def test_any_event_arrives_as_exactly_one_with_its_data_name_and_id(
    data: st.DataObject, event: Event, id: str
) -> None:
    reader = parsed(data.draw(cut(encode_event(event, id=id))))
    assert reader.events == [Dispatched(event.name or "message", as_read(event.data), id)]
    assert reader.reconnection_time == event.retry


@unhurried
@given(st.data(), st.lists(st.tuples(events, ids), max_size=6))
def test_many_events_arrive_each_by_itself_and_in_order(
    data: st.DataObject, sent: list[tuple[Event, str]]
) -> None:
    stream = encode_opening("start", 3000) + KEEP_ALIVE.join(
        encode_event(event, id=place) for event, place in sent
    )
    assert parse(*data.draw(cut(stream))) == [
        Dispatched("streamy.open", "{}", "start"),
        *(Dispatched(event.name or "message", as_read(event.data), place) for event, place in sent),
    ]


def test_an_event_without_an_id_leaves_the_readers_id_as_it_was() -> None:
    stream = encode_event(Event("a"), id="1") + encode_event(Event("b"))
    assert [event.last_event_id for event in parse(stream)] == ["1", "1"]


@pytest.mark.parametrize("name", ["n", " n", "data: x", "日本語", "a\u2028b"])
def test_a_connections_name_for_unnamed_events_arrives(name: str) -> None:
    assert parse(encode_name(name) + encode_body(Event("x"))) == [Dispatched(name, "x", "")]


# -- the form itself


def test_a_newline_in_data_becomes_a_further_data_line() -> None:
    assert encode_body(Event("a\nb")) == b"data: a\ndata: b\n\n"


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n"], ids=ascii)
def test_every_line_break_of_the_format_in_data_starts_a_data_line(line_break: str) -> None:
    assert encode_body(Event(f"a{line_break}b{line_break}")) == b"data: a\ndata: b\ndata: \n\n"


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x85"], ids=ascii)
def test_no_other_character_starts_a_data_line(character: str) -> None:
    assert encode_body(Event(f"a{character}b")) == f"data: a{character}b\n\n".encode()


def test_the_fields_come_in_a_fixed_order_with_data_last() -> None:
    assert encode_event(Event("x", "n", 5), id="1") == b"id: 1\nretry: 5\nevent: n\ndata: x\n\n"


# -- known attacks


@pytest.mark.parametrize(
    "data",
    [
        "x\revent: admin\rdata: pwn",
        "a\r\n\r\nevent: system\r\ndata: evil",
        "a\n\nevent: system\ndata: evil",
        "\n\nid: 9\nretry: 1",
        "",
        "\n",
        "a\n",
        "\na",
        "\r\n\n\r",
        " x",
        "  x",
        ":x",
        "\ufeffx",
        "a\u2028data: b",
        "a\x0bdata: b",
        "a\x85data: b",
    ],
    ids=ascii,
)
def test_no_data_breaks_out_of_its_event(data: str) -> None:
    reader = parsed([encode_event(Event(data), id="1")])
    assert reader.events == [Dispatched("message", as_read(data), "1")]
    assert reader.reconnection_time is None


@pytest.mark.parametrize(
    "id",
    [
        "abc\ndata: inj\n\nid: next",
        "a\r",
        "a\n",
        "\n",
        "",
        "a\0",
        "a\x0b",
        "a b",
        "a:b",
        "\ud800",
        "é",
        "\u0663",
        "\ufeffa",
    ],
    ids=ascii,
)
def test_what_is_no_id_is_refused_and_never_stripped(id: str) -> None:
    with pytest.raises(InvalidEvent, match="an id consists of"):
        encode_event(Event("x"), id=id)


@pytest.mark.parametrize(
    "name", ["message\nevent: admin\ndata: X", "x\revent: admin\rdata: pwn", "a\n"], ids=ascii
)
def test_a_line_break_in_a_connections_name_for_unnamed_events_is_refused(name: str) -> None:
    with pytest.raises(InvalidEvent, match="line break"):
        encode_name(name)


@pytest.mark.parametrize("retry", ["1\ndata: x", "1", True, -1, 1.5, 2**31, None], ids=repr)
def test_what_is_no_reconnection_time_is_refused(retry: Any) -> None:
    with pytest.raises(InvalidEvent, match="retry is a whole number"):
        encode_retry(retry)


# -- frames without an event


def test_a_keep_alive_says_nothing_to_a_reader() -> None:
    reader = parsed([encode_event(Event("a"), id="1"), KEEP_ALIVE])
    assert (len(reader.events), reader.last_event_id, reader.reconnection_time) == (1, "1", None)


def test_the_opening_is_an_event_that_sets_place_and_reconnection_time() -> None:
    reader = parsed([encode_opening("e.5.abc", 3000)])
    assert reader.events == [Dispatched("streamy.open", "{}", "e.5.abc")]
    assert (reader.last_event_id, reader.reconnection_time) == ("e.5.abc", 3000)


@pytest.mark.parametrize("seconds", [30, 0.25, 1e9])
def test_the_opening_tells_the_keep_alive_in_seconds_as_json(seconds: float) -> None:
    (opening,) = parse(encode_opening("1", 3000, seconds))
    assert json.loads(opening.data) == {"keep_alive": seconds}


def test_an_opening_without_a_cursor_has_no_id() -> None:
    (opening,) = parse(encode_opening("", 3000))
    assert opening == Dispatched("streamy.open", "{}", "")


def test_a_reconnection_time_by_itself_dispatches_nothing_and_keeps_the_place() -> None:
    reader = parsed([encode_id("1") + encode_body(Event("a")), encode_retry(0)])
    assert (len(reader.events), reader.last_event_id, reader.reconnection_time) == (1, "1", 0)
