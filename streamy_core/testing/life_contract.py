"""What becomes of a log: the contract's part on what is trimmed, on ends and on closing."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from ..broker import Broker, ListsStreams
from ..errors import BrokerUnavailable, Closed, StreamEnded
from ..ids import ID, OLDEST
from .basis import MakeBroker, closed_in_the_end
from .reading import data_of, events, finish, in_a_thread, read, read_all, tail

A_WHILE = 0.3
"""Seconds for which a log is read while it is trimmed."""


class LifeContract:
    """What every broker keeps as a log grows old and ends."""

    def test_what_was_trimmed_is_a_gap_and_reading_goes_on_at_the_oldest(
        self, make_broker: MakeBroker
    ) -> None:
        with make_broker("short", history=10) as broker:
            first, *_ = broker.append("news", events("first", "second"))
            for n in range(100):
                broker.append("news", events(str(n)))
            page = read(broker, "news", first)
            assert page.gap, "entries after this cursor are gone, and its reader isn't told"
            kept = read_all(broker, "news")
            assert data_of(kept) == [str(n) for n in range(100 - len(kept), 100)], (
                "what is kept isn't the newest entries, in order"
            )
            assert 10 <= len(kept) <= 20, "history=10 keeps at least 10 entries, and at most as many again"
            assert read_all(broker, "news", page.cursor) == kept, (
                "a gap's cursor leads on to the oldest entry that is kept"
            )

    def test_a_reader_that_has_all_but_the_kept_entries_has_no_gap(self, make_broker: MakeBroker) -> None:
        with make_broker("short", history=10) as broker:
            ids = [broker.append("news", events(str(n)))[0] for n in range(100)]
            kept = read_all(broker, "news")
            last_trimmed = ids[100 - len(kept) - 1]
            assert read_all(broker, "news", last_trimmed) == kept, (
                "after the last entry that was trimmed come all that are kept"
            )

    def test_history_counts_entries_and_not_appends(self, make_broker: MakeBroker) -> None:
        with make_broker("short", history=10) as broker:
            for n in range(20):
                broker.append("news", events(*[f"{n} {part}" for part in range(5)]))
            kept = len(read_all(broker, "news"))
            assert 10 <= kept <= 20, (
                f"of 20 appends of 5 events each, history=10 has kept {kept} entries: it keeps at least 10, "
                "and at most as many again"
            )

    def test_a_batch_larger_than_the_history_is_stored_and_its_newest_are_kept(
        self, make_broker: MakeBroker
    ) -> None:
        with make_broker("short", history=10) as broker:
            first, *_ = broker.append("news", events("before"))
            ids = broker.append("news", events(*map(str, range(50))))
            assert len(ids) == 50, "a batch has an id for each of its events"
            kept = read_all(broker, "news")
            assert data_of(kept)[-10:] == [str(n) for n in range(40, 50)], "its newest entries aren't kept"
            assert [entry.id for entry in kept] == [first, *ids][-len(kept) :]
            assert tail(broker, "news") == ids[-1]
            assert len(kept) == 51 or read(broker, "news", first).gap, "its reader isn't told of what is gone"

    def test_the_cursor_of_a_gap_in_a_trimmed_log_is_an_id_and_no_gap(self, make_broker: MakeBroker) -> None:
        with make_broker("short", history=10) as broker:
            first, *_ = broker.append("news", events("first", "second"))
            for n in range(100):
                broker.append("news", events(str(n)))
            cursor = read(broker, "news", first).cursor
            assert ID.fullmatch(cursor), (
                f"a gap's cursor is sent to clients, as any other: it can't be {cursor!r}"
            )
            page = read(broker, "news", cursor, limit=1)
            assert (page.gap, len(page.entries)) == (False, 1), "a gap's cursor leads on to the oldest entry"

    def test_a_page_read_while_the_log_is_trimmed_has_no_hole(self, make_broker: MakeBroker) -> None:
        with make_broker("short", history=10) as broker:
            over = threading.Event()
            broker.append("news", events("0"))

            def publish() -> None:
                for n in itertools.takewhile(lambda _: not over.is_set(), itertools.count(1)):
                    broker.append("news", events(str(n)))

            publishing = in_a_thread(publish)
            end = time.monotonic() + A_WHILE
            cursor, newest = OLDEST, -1
            while time.monotonic() < end:
                page = read(broker, "news", cursor, limit=3)
                numbers = [int(data) for data in data_of(page.entries)]
                first = newest + 1 if cursor != OLDEST else next(iter(numbers), 0)
                assert numbers == list(range(first, first + len(numbers))), (
                    f"after {newest} comes {numbers}: entries were stepped over, and no gap told of it"
                )
                newest = next(reversed(numbers), newest)
                cursor = OLDEST if page.gap else page.cursor
            over.set()
            publishing.result()

    def test_a_gap_on_an_ended_stream_leads_to_its_entries_and_its_end(self, broker: Broker) -> None:
        broker.append("news", events("a", "b"))
        broker.end("news")
        gap = read(broker, "news", "x")
        assert (gap.entries, gap.ended, gap.gap) == ((), False, True), "a gap comes alone, and before the end"
        page = read(broker, "news", gap.cursor)
        assert (data_of(page.entries), page.ended) == (["a", "b"], True), (
            "a gap's cursor leads on to the entries, and to the end after them"
        )

    def test_an_ended_stream_takes_no_more(self, broker: Broker) -> None:
        broker.append("news", events("a"))
        broker.end("news")
        with pytest.raises(StreamEnded):
            broker.append("news", events("b"))
        assert data_of(read_all(broker, "news")) == ["a"]

    def test_who_appends_to_an_ended_stream_is_told_which(self, broker: Broker) -> None:
        broker.end("other")
        broker.end("news")
        with pytest.raises(StreamEnded) as refused:
            broker.append("news", events("a"))
        assert refused.value.stream_id == "news", "StreamEnded is given the name of the stream that has ended"

    def test_an_end_comes_after_an_append_that_has_returned(self, broker: Broker) -> None:
        for n in range(20):
            broker.append(f"s{n}", events("a", "b"))
            broker.end(f"s{n}")
            page = read(broker, f"s{n}")
            assert (data_of(page.entries), page.ended) == (["a", "b"], True), "an end has overtaken an append"

    def test_ending_twice_does_nothing_more(self, broker: Broker) -> None:
        broker.end("news")
        end = read(broker, "news").cursor
        broker.end("news")
        assert read(broker, "news").cursor == end, "ending again has made another end"

    def test_the_end_comes_after_the_last_entry_and_not_before(self, broker: Broker) -> None:
        broker.append("news", events("a", "b", "c"))
        broker.end("news")
        page = read(broker, "news", limit=2)
        assert (data_of(page.entries), page.ended) == (["a", "b"], False), (
            "a page that leaves an entry for the next doesn't tell of the end"
        )
        page = read(broker, "news", page.cursor, limit=2)
        assert (data_of(page.entries), page.ended) == (["c"], True), (
            "the page with the last entry tells of the end"
        )

    def test_the_end_has_a_cursor_of_its_own(self, broker: Broker) -> None:
        (last,) = broker.append("news", events("a"))
        broker.end("news")
        told = read(broker, "news", last)
        assert (told.entries, told.ended) == ((), True), "after the last entry there is nothing but the end"
        assert told.cursor != last, "whoever has the last entry hasn't seen the end yet"
        assert ID.fullmatch(told.cursor), f"the end's cursor is an id like any other, not {told.cursor!r}"
        knows = read(broker, "news", told.cursor)
        assert (knows.entries, knows.ended, knows.cursor) == ((), True, told.cursor), (
            "after the end's cursor there is a page without entries, with the same cursor and the end"
        )

    def test_the_tail_of_an_ended_stream_lies_before_its_end(self, broker: Broker) -> None:
        broker.append("news", events("a"))
        broker.end("news")
        cursor = tail(broker, "news")
        page = read(broker, "news", cursor)
        assert (page.entries, page.ended) == ((), True), "after the tail there is nothing but the end"
        assert page.cursor != cursor, "who reads on from the tail is to be told of the end"

    def test_a_stream_can_end_before_its_first_event(self, broker: Broker) -> None:
        cursor = tail(broker, "news")
        broker.end("news")
        assert read(broker, "news", cursor).ended, "a stream without entries has ended, and nobody is told"
        with pytest.raises(StreamEnded):
            broker.append("news", events("a"))

    def test_a_closed_broker_says_so(self, broker: Broker) -> None:
        broker.close()
        broker.close()
        calls: dict[str, Callable[[], object]] = {
            "append": lambda: broker.append("news", events("a")),
            "read": lambda: broker.read({"news": OLDEST}, 1),
            "tail": lambda: broker.tail(["news"]),
            "end": lambda: broker.end("news"),
            "watch": broker.watch,
        }
        for name, call in calls.items():
            assert _says_closed(call), f"{name} returned, and did not raise Closed"

    def test_closing_while_calls_are_under_way_ends_them(self, make_broker: MakeBroker) -> None:
        for _ in range(3):
            over = threading.Event()
            with closed_in_the_end(make_broker()) as broker:
                calls: list[Callable[[], object]] = [
                    lambda: broker.append("news", events("a")),
                    lambda: broker.read({"news": OLDEST}, 10),
                    lambda: broker.tail(["news"]),
                    lambda: broker.end("other"),
                ]
                if isinstance(broker, ListsStreams):
                    calls.append(partial(_list_streams, broker))
                for call in calls:
                    call()
                callers = [in_a_thread(partial(_until_closed, call, over)) for call in calls]
                try:
                    broker.close()
                    for caller in callers:
                        finish(caller, "who calls while the broker is closed is told Closed")
                finally:
                    over.set()


def _list_streams(broker: ListsStreams) -> None:
    list(broker.streams())


def _until_closed(call: Callable[[], object], over: threading.Event) -> None:
    with suppress(Closed):
        while not over.is_set():
            with suppress(BrokerUnavailable):  # as a line that is cut: whoever tries again is told
                call()


def _says_closed(call: Callable[[], object]) -> bool:
    try:
        call()
    except Closed:
        return True
    return False
