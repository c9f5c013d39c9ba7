"""How a log is read: the contract's part on pages, their bounds, and many streams at once."""

from __future__ import annotations

import pytest

from ..broker import Broker
from ..events import Event
from ..ids import OLDEST
from .basis import MakeBroker
from .reading import data_of, events, read, read_all, tail


class PageContract:
    """What every broker keeps of what it is asked to read."""

    def test_a_page_has_no_more_than_its_limit_and_leads_on(self, broker: Broker) -> None:
        broker.append("news", events(*"abcde"))
        page = read(broker, "news", limit=2)
        assert data_of(page.entries) == ["a", "b"], "a page has no more entries than its limit"
        assert page.cursor == page.entries[-1].id, "a page's cursor is the id of its last entry"
        assert data_of(read_all(broker, "news", page.cursor, limit=2)) == list("cde")

    def test_a_log_read_one_by_one_is_the_same_log(self, broker: Broker) -> None:
        broker.append("news", events(*"abcde"))
        log = read_all(broker, "news")
        assert read_all(broker, "news", limit=1) == log
        assert [read(broker, "news", entry.id, limit=1).cursor for entry in log[:-1]] == [
            entry.id for entry in log[1:]
        ], "a page's cursor is the id of its last entry"

    @pytest.mark.parametrize("limit", [1, 2, 100, 150, 10_000])
    def test_a_page_is_full_or_reaches_the_end(self, broker: Broker, limit: int) -> None:
        broker.append("news", events(*map(str, range(150))))
        page = read(broker, "news", limit=limit)
        expected = min(limit, 150)
        assert len(page.entries) <= expected, f"a page has no more entries than its limit, which is {limit}"
        assert len(page.entries) == expected, (
            "a page with fewer entries than its limit reaches the end of the log"
        )
        assert page.more is (limit < 150), "`more` says whether a page stops before the end of the log"

    def test_a_long_log_is_one_page_if_its_limit_says_so(self, broker: Broker) -> None:
        for _ in range(3):
            broker.append("news", events(*map(str, range(500))))
        page = read(broker, "news", limit=5_000)
        assert (len(page.entries), page.more) == (1_500, False), "a page holds as many entries as its limit"

    @pytest.mark.parametrize("bound", [2**31 - 1, 2**31, 2**63 - 1, 2**64])
    def test_huge_bounds_are_bounds(self, broker: Broker, bound: int) -> None:
        broker.append("news", events(*"abc"))
        page = read(broker, "news", limit=bound, max_bytes=bound)
        assert (data_of(page.entries), page.more) == (list("abc"), False), (
            f"a bound of {bound} is none that is met"
        )

    def test_only_a_page_that_stops_before_the_end_of_the_log_has_more(self, broker: Broker) -> None:
        first, last = broker.append("news", events("a", "b"))
        broker.append("ended", events("a", "b"))
        broker.end("ended")
        asked = {"at its head": read(broker, "news", last), "that doesn't exist": read(broker, "nobody")}
        asked["read to its last entry"] = read(broker, "news", first, limit=1)
        asked["read to its end"] = read(broker, "ended", limit=2)
        asked["after its end"] = read(broker, "ended", asked["read to its end"].cursor)
        assert [what for what, page in asked.items() if page.more] == [], "these streams have no more"

    def test_a_page_with_a_gap_has_nothing_else(self, broker: Broker) -> None:
        broker.append("news", events(*"abc"))
        page = read(broker, "news", "x", limit=1, max_bytes=0)
        assert (page.entries, page.gap, page.ended, page.more) == ((), True, False, False), (
            "a gap comes alone: what is left is for the next page to say"
        )

    def test_reading_while_there_is_more_reads_all_that_a_trimmed_log_has_kept(
        self, make_broker: MakeBroker
    ) -> None:
        with make_broker("short", history=10) as broker:
            for n in range(100):
                broker.append("news", events(str(n)))
            page = read(broker, "news", limit=4, max_bytes=7)
            found = list(page.entries)
            while page.more:
                page = read(broker, "news", page.cursor, limit=4, max_bytes=7)
                assert page.entries, "a page without entries says that there are more"
                found += page.entries
            assert found == read_all(broker, "news"), "`more` ends with the newest entry, and not before"

    def test_a_page_at_the_head_is_empty_and_stays_there(self, broker: Broker) -> None:
        (last,) = broker.append("news", events("a"))
        page = read(broker, "news", last)
        assert (page.entries, page.cursor, page.ended, page.gap) == ((), last, False, False), (
            "after the last entry there is a page without entries, with the same cursor, no end and no gap"
        )

    def test_many_streams_are_read_at_once_each_after_its_own_cursor(self, broker: Broker) -> None:
        cursors: dict[str, str] = {}
        for n in range(30):
            cursors[f"s{n}"] = broker.append(f"s{n}", events("old"))[0]
            broker.append(f"s{n}", events(f"new {n}"))
        pages = broker.read({**cursors, "nobody": OLDEST}, 10)
        assert {name: data_of(page.entries) for name, page in pages.items()} == {
            **{f"s{n}": [f"new {n}"] for n in range(30)},
            "nobody": [],
        }

    def test_a_thousand_streams_are_read_at_once(self, broker: Broker) -> None:
        names = [f"s{n}" for n in range(1_000)]
        grown = names[::100] + names[-1:]
        for name in grown:
            broker.append(name, events(f"for {name}"))
        pages = broker.read(dict.fromkeys(names, OLDEST), 10)
        assert {name for name in names if name not in pages} == set(), "these streams were left out"
        assert [name for name in names if pages[name].entries] == grown, (
            "the streams with entries aren't those that were appended to"
        )
        assert [data_of(pages[name].entries) for name in grown] == [[f"for {name}"] for name in grown]

    def test_reading_no_stream_gives_no_page(self, broker: Broker) -> None:
        assert dict(broker.read({}, 10)) == {}

    def test_tails_of_many_streams_are_those_of_each(self, broker: Broker) -> None:
        names = [f"s{n}" for n in range(100)]
        for name in names[::2]:
            broker.append(name, events("old"))
        broker.end(names[0])
        tails = broker.tail(names)
        assert set(tails) == set(names), "tail returns a cursor for every stream asked for"
        assert dict(tails) == {name: tail(broker, name) for name in names}
        for name in names[1:]:
            broker.append(name, events(f"new {name}"))
        pages = broker.read(tails, 10)
        found = {name: data_of(page.entries) for name, page in pages.items() if name != names[0]}
        assert found == {name: [f"new {name}"] for name in names[1:]}

    def test_a_thousand_tails_are_asked_for_at_once(self, broker: Broker) -> None:
        names = dict.fromkeys(f"s{n}" for n in range(1_000)).keys()  # any collection will do
        for n in range(0, 1_000, 100):
            broker.append(f"s{n}", events("old"))
        tails = broker.tail(names)
        assert names ^ set(tails) == set(), "these streams were left out, or never asked for"
        broker.append("s1", events("new"))
        found = {name: data_of(read_all(broker, name, tails[name])) for name in ("s0", "s1", "s2", "s900")}
        assert found == {"s0": [], "s1": ["new"], "s2": [], "s900": []}

    def test_no_streams_have_no_tails(self, broker: Broker) -> None:
        assert dict(broker.tail([])) == {}

    def test_a_page_stays_within_its_bytes(self, broker: Broker) -> None:
        broker.append("news", events(*["x" * 1_000] * 10))
        page = read(broker, "news", max_bytes=3_500)
        assert len(page.entries) == 3, "a page holds as many entries as fit into max_bytes, and no more"
        assert page.more, "a page that its bytes have cut short says that there is more"
        rest = read(broker, "news", page.cursor, max_bytes=7_000)
        assert (len(rest.entries), rest.more) == (7, False), "what just fits is in the page"

    def test_bytes_are_counted_as_utf_8(self, broker: Broker) -> None:
        broker.append("news", events(*["🎈" * 250] * 4))
        assert len(read(broker, "news", max_bytes=2_500).entries) == 2, "250 balloons are 1,000 bytes"

    def test_a_page_holds_one_entry_however_large(self, broker: Broker) -> None:
        broker.append("news", events("x" * 10_000, "y" * 10_000, "z"))
        page = read(broker, "news", max_bytes=1)
        assert data_of(page.entries) == ["x" * 10_000], "the first entry is in the page, whatever its size"
        assert data_of(read_all(broker, "news", page.cursor)) == ["y" * 10_000, "z"]

    @pytest.mark.parametrize("max_bytes", [0, 1, 100, 101, 999, 1_250])
    def test_a_page_holds_what_fits_whatever_the_sizes(self, broker: Broker, max_bytes: int) -> None:
        sizes = [0, 0, 100, 1, 1_000, 0, 50, 50, 250, 2_000, 0, 0]
        # Names as long as can be: they don't count.
        ids = broker.append("news", [Event("x" * size, "n" * 255) for size in sizes])
        for first, cursor in enumerate([OLDEST, *ids[:-1]]):
            left = sizes[first:]
            fitting = max(n for n in range(1, len(left) + 1) if n == 1 or sum(left[:n]) <= max_bytes)
            page = read(broker, "news", cursor, max_bytes=max_bytes)
            assert [event.size for _, _, event in page.entries] == left[:fitting], f"after entry {first}"
            assert page.more is (fitting < len(left)), f"a page after entry {first} is wrong about `more`"

    def test_entries_and_bytes_are_both_bounds(self, broker: Broker) -> None:
        broker.append("news", events(*["x" * 1_000] * 10))
        assert len(read(broker, "news", limit=2, max_bytes=5_000).entries) == 2, (
            "its limit cuts the page short"
        )
        assert len(read(broker, "news", limit=5, max_bytes=2_000).entries) == 2, (
            "its bytes cut the page short"
        )

    def test_a_share_of_no_bytes_is_one_entry(self, broker: Broker) -> None:
        names = [f"s{n}" for n in range(10)]
        for name in names:
            broker.append(name, events("a", "b"))
        pages = broker.read(dict.fromkeys(names, OLDEST), 100, 9)
        assert {name: data_of(page.entries) for name, page in pages.items()} == {
            name: ["a"] for name in names
        }, "a page's first entry is returned, however small its share"

    def test_the_end_is_told_only_with_the_last_entry(self, broker: Broker) -> None:
        broker.append("news", events("x" * 1_000, "y" * 1_000))
        broker.end("news")
        first = read(broker, "news", max_bytes=1_500)
        assert (data_of(first.entries), first.ended, first.more) == (["x" * 1_000], False, True), (
            "a page that its bytes have cut short has more to come, and doesn't tell of the end"
        )
        last = read(broker, "news", first.cursor, max_bytes=1_500)
        assert (data_of(last.entries), last.ended, last.more) == (["y" * 1_000], True, False), (
            "the page with the last entry tells of the end"
        )

    def test_many_streams_share_the_bytes(self, broker: Broker) -> None:
        names = [f"s{n}" for n in range(10)]
        for name in names:
            broker.append(name, events(*["x" * 1_000] * 20))
        pages = broker.read(dict.fromkeys(names, OLDEST), 100, 30_000)
        assert {name: len(page.entries) for name, page in pages.items()} == dict.fromkeys(names, 3), (
            "each stream has an equal share of max_bytes"
        )
