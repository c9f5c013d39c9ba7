"""What becomes of a log: the contract's part on what is trimmed, on ends and on closing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..broker import Broker
from ..errors import Closed, StreamEnded
from ..ids import ID, OLDEST
from .basis import MakeBroker
from .reading import data_of, events, read, read_all, tail


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


def _says_closed(call: Callable[[], object]) -> bool:
    try:
        call()
    except Closed:
        return True
    return False
