"""The newest frames of a stream, shared by its readers: what it holds, drops and hands out."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamy_core.engine.checks import check_page
from streamy_core.engine.frames import Frame, Framing, gap_frame
from streamy_core.engine.window import Window, WindowLimits
from streamy_core.events import END, GAP, Entry, Event, Page
from streamy_core.observers import GapCause
from streamy_core.testing.event_stream import Dispatched, parse

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

START = "e.0.aaa"
MUCH = 10**9


def frames_of(stream_id: str, cursor: str, page: Page) -> list[Frame]:
    """The frames of a page in which all is sound."""

    def report(*damage: object) -> None:
        raise AssertionError(damage)

    return check_page(stream_id, cursor, page, report)[0]


def frame(entry_id: str, data: str = "x", name: str | None = None) -> Frame:
    (made,) = frames_of("news", "before", Page((Entry(entry_id, "news", Event(data, name)),), entry_id))
    return made


def frames(first: int, last: int) -> list[Frame]:
    return [frame(str(number), f"data {number}") for number in range(first, last + 1)]


def ids(found: list[Frame]) -> list[str]:
    return [each.entry.id for each in found]


def window_of(last: int, limits: WindowLimits | None = None) -> Window:
    window = Window(START, limits or WindowLimits())
    window.append(frames(1, last))
    return window


# -- pages become frames


def test_a_pages_entries_become_frames_in_their_order() -> None:
    entries = tuple(Entry(letter, "news", Event(letter)) for letter in "abc")
    assert ids(frames_of("news", START, Page(entries, "c"))) == ["a", "b", "c"]


def test_a_gap_becomes_an_event_that_says_which_stream_and_from_where_to_where() -> None:
    (gap,) = frames_of("news", "lost", Page((), "e.7.bbb", gap=True))
    ((type_, data, place),) = parse(gap.encode(gap.entry.id, Framing()))
    assert (type_, json.loads(data), place) == (
        GAP,
        {"stream": "news", "from": "lost", "to": "e.7.bbb"},
        "e.7.bbb",
    )


@pytest.mark.parametrize(
    "cursor",
    ["a\ndata: x", "x\r\n\r\nevent: admin", "\0", "\ud800", '"}', "x" * 5_000],
    ids=lambda c: ascii(c[:12]),
)
def test_a_gap_carries_any_cursor_of_a_client_harmlessly(cursor: str) -> None:
    (gap,) = frames_of("news", cursor, Page((), "e.7.bbb", gap=True))
    ((type_, data, _),) = parse(gap.encode(gap.entry.id, Framing()))
    assert (type_, json.loads(data)["from"]) == (GAP, cursor[:128])


def test_the_end_becomes_an_event_behind_the_last_entries() -> None:
    page = Page((Entry("1", "news", Event("last")),), "end", ended=True)
    last, end = frames_of("news", START, page)
    assert (last.ends, end.ends) == (False, True)
    assert parse(end.encode("end", Framing())) == [Dispatched(END, '{"stream": "news"}', "end")]


def test_a_reader_that_has_seen_the_end_is_not_told_again() -> None:
    assert frames_of("news", "end", Page((), "end", ended=True)) == []


# -- frames


def test_a_frame_carries_the_readers_own_place() -> None:
    assert frame("1", "x", "n").encode("_joint", Framing()) == b"id: _joint\nevent: n\ndata: x\n\n"


@pytest.mark.parametrize(("name", "type_"), [(None, "theirs"), ("own", "own")])
def test_a_connections_name_is_only_for_events_without_one(name: str | None, type_: str) -> None:
    encoded = frame("1", "x", name).encode("1", Framing.of("theirs"))
    assert [event.type for event in parse(encoded)] == [type_]
    assert encoded.count(b"event:") == 1


# -- the window


def test_an_empty_window_knows_the_place_where_it_begins() -> None:
    window = Window(START, WindowLimits())
    assert window.head == START
    assert window.after(START, MUCH) == []


@pytest.mark.parametrize(("cursor", "left"), [(START, "12345"), ("1", "2345"), ("4", "5"), ("5", "")])
def test_a_reader_gets_what_lies_behind_its_cursor(cursor: str, left: str) -> None:
    assert ids(window_of(5).after(cursor, MUCH)) == list(left)


@pytest.mark.parametrize("cursor", ["", "6", "e.0.bbb", "x"])
def test_a_window_does_not_know_a_cursor_of_elsewhere(cursor: str) -> None:
    window = window_of(5)
    assert window.after(cursor, MUCH) is None
    assert window.chunk(cursor, Framing(), MUCH) is None
    assert window.distance(cursor) is None


def test_the_head_is_the_newest_frame() -> None:
    assert window_of(5).head == "5"


@unhurried
@given(st.lists(st.integers(1, 12), max_size=8), st.integers(1, 10), st.integers(1, 300))
def test_a_window_holds_the_newest_frames_within_its_limits_and_nothing_else(
    batches: list[int], entries: int, size: int
) -> None:
    window = Window(START, WindowLimits(entries, size))
    held: list[Frame] = []
    every = [START]
    for batch in batches:
        new = frames(len(every), len(every) + batch - 1)
        window.append(new)
        every += ids(new)
        held += new
        while len(held) > entries or sum(len(each.body) for each in held) > size:
            del held[0]
        places = every[len(every) - len(held) - 1 :]
        assert window.head == every[-1]
        assert [cursor for cursor in every if window.distance(cursor) is not None] == places
        for skipped, cursor in enumerate(places):
            assert window.after(cursor, MUCH) == held[skipped:]


def test_a_frame_larger_than_the_window_is_not_kept_and_its_readers_go_to_the_log() -> None:
    window = Window(START, WindowLimits(bytes=100))
    window.append([frame("1", "x" * 200)])
    assert window.after(START, MUCH) is None
    assert window.head == "1"
    assert window.after("1", MUCH) == []


def test_an_id_that_comes_again_after_a_gap_stands_for_its_later_place() -> None:
    window = Window(START, WindowLimits(entries=4))
    gap = gap_frame("news", "lost", "1", GapCause.TRIMMED)
    window.append([frame("1"), frame("2"), gap, frame("2b")])
    assert ids(window.after("1", MUCH)) == ["2b"]
    window.append([frame("3"), frame("4")])
    assert ids(window.after("1", MUCH)) == ["2b", "3", "4"]


# -- chunks


@pytest.mark.parametrize(("most", "count"), [(0, 1), (1, 1), (28, 2), (29, 2), (42, 3), (MUCH, 5)])
def test_a_reader_gets_about_so_many_bytes_but_at_least_one_frame(most: int, count: int) -> None:
    window = window_of(5)
    assert len(window.after(START, MUCH)[0].body) == 14
    assert len(window.after(START, most)) == count


def test_a_chunk_joins_frames_each_with_its_own_id() -> None:
    chunk = window_of(2).chunk(START, Framing(), MUCH)
    assert parse(chunk.data) == [Dispatched("message", "data 1", "1"), Dispatched("message", "data 2", "2")]
    assert (chunk.cursor, chunk.ends, chunk.more) == ("2", False, False)


def test_chunks_lead_on_until_nothing_is_left() -> None:
    window = window_of(5)
    cursor, events, more = START, [], True
    while more:
        chunk = window.chunk(cursor, Framing(), 32)
        cursor, more = chunk.cursor, chunk.more
        events += parse(chunk.data)
    assert [event.data for event in events] == [f"data {number}" for number in range(1, 6)]
    assert window.chunk(cursor, Framing(), 32).data == b""


def test_readers_at_one_place_share_the_same_bytes() -> None:
    window = window_of(3)
    assert window.chunk("1", Framing(), MUCH).data is window.chunk("1", Framing(), MUCH).data


def test_readers_with_other_names_for_unnamed_events_do_not_share() -> None:
    window = window_of(1)
    assert [
        parse(window.chunk(START, Framing.of(name), MUCH).data)[0].type
        for name in ("message", "tick", "tock", "tick")
    ] == [
        "message",
        "tick",
        "tock",
        "tick",
    ]


def test_a_chunk_made_before_a_new_frame_is_not_given_after_it() -> None:
    window = window_of(1)
    window.chunk(START, Framing(), MUCH)
    window.append(frames(2, 2))
    assert window.chunk(START, Framing(), MUCH).cursor == "2"


def test_a_chunk_up_to_the_end_says_so() -> None:
    window = window_of(1)
    window.append(frames_of("news", "1", Page((), "end", ended=True)))
    assert window.chunk(START, Framing(), MUCH).ends


def test_the_chunks_that_are_kept_are_bounded() -> None:
    window = window_of(1)
    for number in range(1_000):
        window.chunk(START, Framing.of(f"name {number}"), MUCH)
    assert len(window._chunks) <= 64
