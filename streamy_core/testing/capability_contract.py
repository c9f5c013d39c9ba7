"""What a broker keeps that can list or forget streams, make tables, keep meta or tell the time: the
contract's part on them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..broker import Broker, Event, Forgets, HasTables, KeepsMeta, ListsStreams, StreamInfo, TellsTime
from ..events import MAX_META, MAX_RETRY_MS
from .basis import AWKWARD_NAMES, MakeBroker, closed_in_the_end
from .others import append, end
from .processes import Process
from .reading import data_of, events, eventually, read, read_all, tail
from .sharing_contract import ElsewhereFixture


def _listing(broker: Broker) -> ListsStreams:
    if not isinstance(broker, ListsStreams):
        pytest.skip(f"{type(broker).__name__} has no `streams`: its streams can't be listed")
    return broker


def _forgetting(broker: Broker) -> Forgets:
    if not isinstance(broker, Forgets):
        pytest.skip(f"{type(broker).__name__} has no `forget`")
    return broker


_METAS: list[dict[str, str]] = [
    {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b,c=d"},
    {"a": ""},
    {"A": "1", "a": "2", "ä": "3", " a": " 4 "},
    {"line\nbreaks\r\n": "\n", "quotes": "\"'`\\", "\x01\x7f\u2028": "🎈{}[]:,"},
    {"streamy": "x" * (MAX_META - 7)},
]

_A_DAY = 86_400
"""Seconds. No clock is wrong by so much that anybody looks after."""


def _keeping_meta(broker: Broker) -> None:
    if not isinstance(broker, KeepsMeta):
        pytest.skip(
            f"{type(broker).__name__} has no `keeps_meta`: events lose their meta before they get there"
        )


def _telling_time(broker: Broker) -> TellsTime:
    if not isinstance(broker, TellsTime):
        pytest.skip(f"{type(broker).__name__} has no `time`")
    return broker


class CapabilityContract(ElsewhereFixture):
    """What `ListsStreams`, `Forgets`, `HasTables`, `KeepsMeta` and `TellsTime` promise."""

    def test_where_nothing_was_written_no_stream_is_listed(self, broker: Broker) -> None:
        assert list(_listing(broker).streams()) == []

    def test_streams_are_listed_by_name_with_what_is_left_of_each(self, broker: Broker) -> None:
        listing = _listing(broker)
        last_b = broker.append("b", events("1", "2", "3"))[-1]
        last_a = broker.append("a", events("1"))[-1]
        assert list(listing.streams()) == [
            StreamInfo("a", 1, last_a, False),
            StreamInfo("b", 3, last_b, False),
        ], "every stream is listed, by name, with its entries and the newest one's id"

    def test_ended_streams_are_listed_and_said_to_have_ended(self, broker: Broker) -> None:
        listing = _listing(broker)
        last = broker.append("over", events("1"))[-1]
        broker.append("going on", events("1"))
        broker.end("over")
        broker.end("never written to")
        told = {info.stream_id: info for info in listing.streams()}
        assert {name: info.ended for name, info in told.items()} == {
            "going on": False,
            "never written to": True,
            "over": True,
        }, "a list says of each stream whether it has ended"
        assert told["over"].last == last, "`last` is the newest entry's id, and not the end's"
        assert [told[name].entries for name in ("over", "never written to")] == [1, 0], "an end is no entry"

    def test_what_a_list_calls_last_is_a_cursor_at_the_newest_entry(self, broker: Broker) -> None:
        listing = _listing(broker)
        broker.append("news", events("1", "2"))
        broker.append("other", events("1"))
        for info in listing.streams():
            assert info.last == tail(broker, info.stream_id)
            assert read(broker, info.stream_id, info.last).entries == ()

    def test_streams_are_listed_under_their_exact_names(self, broker: Broker) -> None:
        listing = _listing(broker)
        for name in AWKWARD_NAMES:
            broker.append(name, events("a"))
        assert sorted(info.stream_id for info in listing.streams()) == sorted(AWKWARD_NAMES)

    def test_a_list_counts_what_is_kept_of_a_trimmed_stream(self, make_broker: MakeBroker) -> None:
        with closed_in_the_end(make_broker("short", history=10)) as broker:
            listing = _listing(broker)
            for n in range(50):
                broker.append("news", events(str(n)))
            (info,) = listing.streams()
            assert info.entries == len(read_all(broker, "news")), "`entries` is how many are left"

    def test_many_streams_are_listed_each_once(self, broker: Broker) -> None:
        listing = _listing(broker)
        names = sorted(f"s{n}" for n in range(300))
        for name in names:
            broker.append(name, events("a"))
        assert [info.stream_id for info in listing.streams()] == names

    def test_streams_of_other_processes_are_listed(self, broker: Broker, other: Process) -> None:
        listing = _listing(broker)
        other.call(append, "theirs", "a", "b")
        other.call(end, "theirs")
        broker.append("ours", events("a"))
        assert [(info.stream_id, info.entries, info.ended) for info in listing.streams()] == [
            ("ours", 1, False),
            ("theirs", 2, True),
        ], "what other processes have written isn't listed"

    def test_a_stream_that_was_forgotten_begins_anew_and_its_readers_are_told(self, broker: Broker) -> None:
        forget = _forgetting(broker).forget
        ids = broker.append("news", events("a", "b"), idempotency_key="k")
        broker.end("news")
        eventually(lambda: forget(0.01) == 1, "forgetting a stream that is idle")
        again = broker.append("news", events("c", "d"))
        assert not set(again) & set(ids), "a stream that was forgotten has handed out an id again"
        for cursor in ids:
            assert read(broker, "news", cursor).gap, "a reader of what was forgotten isn't told of a gap"
        assert data_of(read_all(broker, "news")) == ["c", "d"]

    def test_only_idle_streams_are_forgotten(self, broker: Broker) -> None:
        forget = _forgetting(broker).forget
        for name in ("news", "over"):
            broker.append(name, events("a"))
        broker.end("over")
        assert forget(3_600) == 0, "a stream that was just written to isn't idle"
        eventually(lambda: forget(0.01, ended=True), "forgetting a stream that has ended and is idle")
        assert data_of(read_all(broker, "news")) == ["a"], "only ended streams are forgotten with ended=True"

    def test_tables_are_made_by_several_at_once_and_again(self, broker: Broker) -> None:
        if not isinstance(broker, HasTables):
            pytest.skip(f"{type(broker).__name__} has no `create_tables`: it needs nothing made")
        broker.append("news", events("a"))
        with ThreadPoolExecutor(4) as pool:
            for making in [pool.submit(broker.create_tables) for _ in range(4)]:
                making.result()
        assert data_of(read_all(broker, "news")) == ["a"], "making what is there already takes nothing away"

    @pytest.mark.parametrize("meta", _METAS, ids=lambda meta: ascii(next(iter(meta)))[:12])
    def test_an_event_comes_back_with_its_meta_to_the_letter(
        self, broker: Broker, meta: dict[str, str]
    ) -> None:
        _keeping_meta(broker)
        given = [Event("", meta=meta), Event("data\nof\r\nlines", "name", MAX_RETRY_MS, meta=meta)]
        for event in given:
            broker.append("news", [event])
        assert [entry.event for entry in read_all(broker, "news")] == given, (
            "an event comes back with its meta, and otherwise as without"
        )

    def test_each_event_of_a_batch_has_its_own_meta_or_none(self, broker: Broker) -> None:
        _keeping_meta(broker)
        metas = [None, {"n": "1"}, None, {"n": "3", "more": "x" * 500}, {"n": "4"}]
        given = [Event(str(n), retry=n, meta=meta) for n, meta in enumerate(metas)]
        broker.append("news", given)
        assert [entry.event for entry in read_all(broker, "news", limit=2)] == given
        cursor, found = "", list[Event]()
        while (page := read(broker, "news", cursor, max_bytes=2)).entries:
            found += [entry.event for entry in page.entries]
            cursor = page.cursor
        assert found == given, "whatever a meta's size, pages of bounded bytes get on"

    def test_the_time_is_told_in_seconds_since_1970(self, broker: Broker) -> None:
        told = _telling_time(broker).time()
        assert abs(told - time.time()) < _A_DAY, f"`time` is in seconds since 1970 (UTC), and not {told}"

    def test_the_time_that_is_told_goes_on(self, broker: Broker) -> None:
        clock = _telling_time(broker)
        began, first = time.monotonic(), clock.time()
        eventually(lambda: clock.time() >= first + 0.05, "the time that is told going on")
        took = time.monotonic() - began
        assert clock.time() - first < took + 1, "the time that is told goes on as fast as time does"
