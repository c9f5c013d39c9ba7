"""The tests' own parser reads as WHATWG HTML section 9.2.6 says: its examples, and its fine print."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamy_core.testing.event_stream import Dispatched, EventStreamParser, parse, parsed

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def message(data: str, last_event_id: str = "") -> Dispatched:
    return Dispatched("message", data, last_event_id)


THE_STANDARDS_EXAMPLES = {
    "one event of three lines": (
        b"data: YHOO\ndata: +2\ndata: 10\n\n",
        [message("YHOO\n+2\n10")],
    ),
    "a comment, an id, an id that is reset, and a cut": (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
        [message("first event", "1"), message("second event")],
    ),
    "the same with its end": (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [message("first event", "1"), message("second event"), message(" third event")],
    ),
    "data without a value": (
        b"data\n\ndata\ndata\n\ndata:",
        [message(""), message("\n")],
    ),
    "the space after the colon": (
        b"data:test\n\ndata: test\n\n",
        [message("test"), message("test")],
    ),
    "events with types": (
        b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n",
        [
            Dispatched("add", "73857293", ""),
            Dispatched("remove", "2153", ""),
            Dispatched("add", "113411", ""),
        ],
    ),
}


@pytest.mark.parametrize(("stream", "events"), THE_STANDARDS_EXAMPLES.values(), ids=THE_STANDARDS_EXAMPLES)
def test_the_standards_own_examples_read_as_it_says(stream: bytes, events: list[Dispatched]) -> None:
    assert parse(stream) == events


@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
def test_a_line_ends_with_lf_cr_or_crlf(line_end: bytes) -> None:
    assert parse(b"data: a\ndata: b\n\ndata: c\n\n".replace(b"\n", line_end)) == [
        message("a\nb"),
        message("c"),
    ]


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x0b", "\x0c", "\x85", "\x1c", "\x1d", "\x1e"])
def test_no_other_character_ends_a_line(character: str) -> None:
    assert parse(f"data: a{character}data: b\n\n".encode()) == [message(f"a{character}data: b")]


def test_a_crlf_cut_in_the_middle_is_one_line_end() -> None:
    assert parse(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [message("a\nb")]


def test_one_leading_byte_order_mark_is_stripped() -> None:
    assert parse(b"\xef\xbb", b"\xbfdata: a\n\n") == [message("a")]


def test_a_second_byte_order_mark_belongs_to_the_fields_name() -> None:
    assert parse(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n") == [message("b")]


def test_a_character_cut_in_the_middle_stays_whole() -> None:
    assert parse(b"data: \xf0\x9f", b"\x8e\x88\n\n") == [message("🎈")]


def test_what_is_not_utf8_is_replaced() -> None:
    assert parse(b"data: \xff\n\n") == [message("\ufffd")]


@pytest.mark.parametrize(
    "line", [b": data: x", b":", b"Data: x", b"data : x", b" data: x", b"unknown: x", b"x"]
)
def test_comments_and_unknown_fields_are_ignored(line: bytes) -> None:
    assert parse(line + b"\n\n" + line + b"\ndata: a\n\n") == [message("a")]


def test_an_event_type_lasts_for_one_block_even_without_data() -> None:
    assert parse(b"event: x\n\ndata: a\n\n") == [message("a")]


def test_an_id_lasts_until_the_next() -> None:
    assert parse(b"id: 1\ndata: a\n\ndata: b\n\nid: 2\ndata: c\n\n") == [
        message("a", "1"),
        message("b", "1"),
        message("c", "2"),
    ]


def test_an_id_with_a_nul_is_ignored() -> None:
    assert parse(b"id: 1\ndata: a\n\nid: 2\x00\ndata: b\n\n") == [message("a", "1"), message("b", "1")]


def test_an_id_without_data_is_remembered_and_dispatches_nothing() -> None:
    parser = parsed([b"id: 7\n\n"])
    assert (parser.events, parser.last_event_id) == ([], "7")


def test_an_id_counts_only_once_its_block_is_complete() -> None:
    parser = parsed([b"id: 1\n\nid: 2\ndata: a\n"])
    assert (parser.events, parser.last_event_id) == ([], "1")


@pytest.mark.parametrize(
    ("value", "time"),
    [
        (b"10", 10),
        (b"0", 0),
        (b"007", 7),
        (b"", None),
        (b"-1", None),
        (b"+1", None),
        (b"1.5", None),
        (b"1s", None),
        (b" 1", None),
        ("\u0663".encode(), None),
    ],
)
def test_a_reconnection_time_is_ascii_digits_only(value: bytes, time: int | None) -> None:
    assert parsed([b"retry: " + value + b"\n\n"]).reconnection_time == time


def test_events_are_given_as_soon_as_they_are_complete() -> None:
    parser = EventStreamParser()
    assert parser.feed(b"data: a\n") == []
    assert parser.feed(b"\ndata: b") == [message("a")]
    assert parser.feed(b"\r\r") == [message("b")]


@unhurried
@given(st.data())
def test_it_does_not_matter_where_a_stream_is_cut(data: st.DataObject) -> None:
    pieces = st.sampled_from(["data", "id", "event", "retry", ":", " ", "\r", "\n", "\ufeff", "1", "🎈"])
    stream = "".join(data.draw(st.lists(pieces, max_size=40))).encode()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert parse(*chunks) == parse(stream)
