"""The contract of a broker: every promise of `Broker` and `Watch` as a test.

Subclass it, name the class `Test…`, and say in the fixture `make_broker` how to make a broker.
If you can stop and start the backend, subclass `FaultContract` as well.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..broker import Broker, ListsStreams
from ..events import Event
from ..ids import ID, OLDEST
from .basis import Contract, MakeBroker
from .key_contract import KeyContract
from .life_contract import LifeContract
from .reading import DEADLINE, data_of, events, read, read_all, tail
from .sharing_contract import SharingContract
from .watch_contract import WatchContract

AWKWARD_NAMES = [
    "a:b", "a", "A", "ä", "a\u0308", "a ", " a", "a%", "a_b", "axb", "*", "a*", "?", "[a]", "{a}", "a/b",
    "../a", ".", "'; DROP TABLE a; --", "\u2028", "日本語", "🎈", "x" * 255, "🎈" * 255, "\x1fa",
]  # fmt: skip

STRANGE_CURSORS = [
    "x", "0", "-1", "1", "..", "a.b.c", "a.1.b", "zzzzz.1.000", "zzzzz.99999999.000", "'", "*", "%", "_",
    "\u00e9", "🎈", "\n", "x" * 128, "x" * 5_000,
]  # fmt: skip


class LogContract:
    """What every broker keeps of what is appended and read."""

    def test_entries_come_in_the_order_of_their_appends(self, broker: Broker) -> None:
        for n in range(20):
            broker.append("news", events(str(n)))
        assert data_of(read_all(broker, "news")) == [str(n) for n in range(20)]

    def test_append_returns_the_ids_under_which_entries_are_read(self, broker: Broker) -> None:
        ids = broker.append("news", events("a", "b")) + broker.append("news", events("c"))
        assert ids == [entry.id for entry in read_all(broker, "news")]

    def test_ids_are_unlike_and_safe_to_send(self, broker: Broker) -> None:
        ids = broker.append("news", events(*"abcdefghij")) + broker.append("other", events(*"abc"))
        assert len(set(ids)) == len(ids), f"two entries have one id: {ids}"
        assert all(map(ID.fullmatch, ids)), (
            f"an id is [A-Za-z0-9._-], 1 to 128 bytes, and begins with a letter or digit: {ids}"
        )

    @pytest.mark.parametrize(
        "event",
        [
            Event("data"),
            Event("data", "name", 1234),
            Event("data", "n" * 255, 0),
            Event("data", None, 2**31 - 1),
        ],
        ids=lambda event: f"{(event.name or 'none')[:4]} {event.retry}",
    )
    def test_an_entry_names_its_stream_and_keeps_its_event_whole(self, broker: Broker, event: Event) -> None:
        broker.append("news", [event])
        (entry,) = read_all(broker, "news")
        assert (entry.stream_id, entry.event) == ("news", event)

    @pytest.mark.parametrize(
        "data",
        ["", " ", "a\nb", "a\rb", "a\r\nb", "\n", "\ufeffx", "\u2028", "日本語 🎈", "\x01\x7f", "x" * 2**20],
        ids=lambda data: ascii(data[:12]),
    )
    def test_data_comes_back_to_the_letter(self, broker: Broker, data: str) -> None:
        broker.append("news", [Event(data, "n\u00e4me 🎈")])
        (entry,) = read_all(broker, "news")
        assert entry.event == Event(data, "n\u00e4me 🎈")

    def test_reading_goes_on_after_any_cursor(self, broker: Broker) -> None:
        data = [str(n) for n in range(120)]
        ids = broker.append("news", events(*data))
        for place, cursor in enumerate(ids):
            assert data_of(read_all(broker, "news", cursor)) == data[place + 1 :], f"after entry {place}"

    def test_a_log_read_one_by_one_is_the_same_log(self, broker: Broker) -> None:
        broker.append("news", events(*"abcde"))
        log = read_all(broker, "news")
        assert read_all(broker, "news", limit=1) == log
        assert [read(broker, "news", entry.id, limit=1).cursor for entry in log[:-1]] == [
            entry.id for entry in log[1:]
        ], "a page's cursor is the id of its last entry"

    def test_reading_takes_nothing_away(self, broker: Broker) -> None:
        broker.append("news", events(*"abc"))
        broker.end("news")
        first = read(broker, "news")
        assert (data_of(first.entries), first.ended) == (["a", "b", "c"], True), (
            "the first reader isn't told of the whole log and its end"
        )
        assert read(broker, "news") == first, "the second reader found another log than the first"

    def test_a_page_has_no_more_than_its_limit_and_leads_on(self, broker: Broker) -> None:
        broker.append("news", events(*"abcde"))
        page = read(broker, "news", limit=2)
        assert data_of(page.entries) == ["a", "b"], "a page has no more entries than its limit"
        assert page.cursor == page.entries[-1].id, "a page's cursor is the id of its last entry"
        assert data_of(read_all(broker, "news", page.cursor, limit=2)) == list("cde")

    @pytest.mark.parametrize("limit", [1, 2, 100, 150, 10_000])
    def test_a_page_is_full_or_reaches_the_end(self, broker: Broker, limit: int) -> None:
        broker.append("news", events(*map(str, range(150))))
        page = read(broker, "news", limit=limit)
        assert len(page.entries) == min(limit, 150), (
            "a page with fewer entries than its limit reaches the end of the log"
        )
        assert page.more is (limit < 150), "`more` says whether a page stops before the end of the log"

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

    def test_the_end_is_told_only_with_the_last_entry(self, broker: Broker) -> None:
        broker.append("news", events("x" * 1_000, "y" * 1_000))
        broker.end("news")
        first = read(broker, "news", max_bytes=1_500)
        assert (data_of(first.entries), first.ended, first.more) == (["x" * 1_000], False, True)
        last = read(broker, "news", first.cursor, max_bytes=1_500)
        assert (data_of(last.entries), last.ended, last.more) == (["y" * 1_000], True, False)

    def test_many_streams_share_the_bytes(self, broker: Broker) -> None:
        names = [f"s{n}" for n in range(10)]
        for name in names:
            broker.append(name, events(*["x" * 1_000] * 20))
        pages = broker.read(dict.fromkeys(names, OLDEST), 100, 30_000)
        assert {name: len(page.entries) for name, page in pages.items()} == dict.fromkeys(names, 3), (
            "each stream has an equal share of max_bytes"
        )

    def test_a_page_at_the_head_is_empty_and_stays_there(self, broker: Broker) -> None:
        (last,) = broker.append("news", events("a"))
        page = read(broker, "news", last)
        assert (page.entries, page.cursor, page.ended, page.gap) == ((), last, False, False), (
            "behind the last entry there is a page without entries, with the same cursor, no end and no gap"
        )

    def test_many_streams_are_read_at_once_each_after_its_own_cursor(self, broker: Broker) -> None:
        cursors = {}
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

    def test_a_batch_is_stored_whole_and_in_order(self, broker: Broker) -> None:
        batch = [str(n) for n in range(500)]
        ids = broker.append("news", events(*batch))
        assert len(ids) == 500, "a batch has an id for each of its events"
        assert data_of(read_all(broker, "news", limit=64)) == batch

    def test_names_are_exact(self, broker: Broker) -> None:
        for name in AWKWARD_NAMES:
            broker.append(name, events(f"for {name}"))
        for name in AWKWARD_NAMES:
            found = data_of(read_all(broker, name))
            assert found == [f"for {name}"], f"another name is taken for {name[:20]!r}, or this one is lost"

    def test_concurrent_publishers_lose_nothing_and_each_keeps_its_order(self, broker: Broker) -> None:
        followed = threading.Event()

        def publish(who: int) -> None:
            for n in range(50):
                broker.append("news", events(f"{who} {n}"))
                if n == 0:
                    followed.wait(DEADLINE)  # or the reader might come when all is over

        seen: list[str] = []
        cursor = OLDEST
        with ThreadPoolExecutor(8) as pool:
            publishers = [pool.submit(publish, who) for who in range(8)]
            while True:
                finished = all(publisher.done() for publisher in publishers)
                page = read(broker, "news", cursor)
                assert not set(seen) & set(data_of(page.entries)), "a reader was given entries twice"
                seen += data_of(page.entries)
                cursor = page.cursor
                if page.entries:
                    followed.set()
                if finished and not page.entries:
                    break
            for publisher in publishers:
                publisher.result()
        assert seen == data_of(read_all(broker, "news")), "a reader that followed the log read another one"
        for who in range(8):
            mine = [data for data in seen if data.startswith(f"{who} ")]
            assert mine == [f"{who} {n}" for n in range(50)], f"publisher {who} lost entries, or their order"

    def test_streams_that_grow_at_once_are_not_mixed_up(self, broker: Broker) -> None:
        names = [f"s{n}" for n in range(5)]

        def publish(who: int) -> None:
            for n in range(10):
                for name in names:
                    broker.append(name, events(f"{name} {who} {n}"))

        with ThreadPoolExecutor(4) as pool:
            for publisher in [pool.submit(publish, who) for who in range(4)]:
                publisher.result()
        for name in names:
            log = data_of(read_all(broker, name))
            for who in range(4):
                mine = [data for data in log if data.split()[1] == str(who)]
                assert mine == [f"{name} {who} {n}" for n in range(10)], (
                    f"{name} has lost its own, or has others'"
                )

    def test_tail_is_the_place_from_now_on(self, broker: Broker) -> None:
        broker.append("news", events("old"))
        cursor = tail(broker, "news")
        broker.append("news", events("new"))
        assert data_of(read_all(broker, "news", cursor)) == ["new"]

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

    def test_no_streams_have_no_tails(self, broker: Broker) -> None:
        assert dict(broker.tail([])) == {}

    def test_the_tail_of_an_unknown_stream_stays_good_when_it_appears(self, broker: Broker) -> None:
        cursor = tail(broker, "news")
        assert ID.fullmatch(cursor), f"the tail of an unknown stream is an id like any other, not {cursor!r}"
        assert data_of(read_all(broker, "news", cursor)) == []
        broker.append("news", events("a", "b"))
        assert data_of(read_all(broker, "news", cursor)) == ["a", "b"]

    def test_every_page_has_a_cursor_that_can_be_kept(self, broker: Broker) -> None:
        page = read(broker, "news", OLDEST)
        assert ID.fullmatch(page.cursor), "also the cursor of a stream that doesn't exist is an id"
        broker.append("news", events("a"))
        assert data_of(read_all(broker, "news", page.cursor)) == ["a"]

    def test_reading_creates_no_stream(self, broker: Broker) -> None:
        broker.tail(["news"])
        read(broker, "news")
        watch = broker.watch()
        watch.add("news")
        if isinstance(broker, ListsStreams):
            assert [info.stream_id for info in broker.streams()] == [], "nothing was written"

    @pytest.mark.parametrize("cursor", STRANGE_CURSORS, ids=lambda cursor: ascii(cursor[:12]))
    def test_a_cursor_that_is_none_is_a_gap_and_no_error(self, broker: Broker, cursor: str) -> None:
        broker.append("news", events("a", "b"))
        page = read(broker, "news", cursor)
        assert page.gap, f"{cursor!r} is nobody's cursor"
        assert page.entries == (), "a page with a gap has no entries"
        assert data_of(read_all(broker, "news", page.cursor)) == ["a", "b"], (
            "a gap's cursor leads on to the oldest entry"
        )

    def test_a_strange_cursor_of_an_unknown_stream_is_a_gap(self, broker: Broker) -> None:
        page = read(broker, "nobody", "x")
        assert (page.entries, page.ended, page.gap) == ((), False, True), (
            "a stream that doesn't exist has no entries and no end, and 'x' is nobody's cursor"
        )

    def test_a_cursor_of_another_history_is_a_gap(self, broker: Broker, make_broker: MakeBroker) -> None:
        with make_broker("another") as other:
            foreign = other.append("news", events("a", "b", "c"))
        broker.append("news", events("x", "y", "z"))
        for cursor in foreign:
            assert read(broker, "news", cursor).gap, "two histories must never hand out the same id"

    def test_a_cursor_of_another_stream_is_a_gap(self, broker: Broker) -> None:
        (cursor,) = broker.append("other", events("a"))
        broker.append("news", events("x"))
        assert read(broker, "news", cursor).gap, "an id is one stream's, and no cursor in another"

    def test_appending_nothing_does_nothing(self, broker: Broker) -> None:
        assert broker.append("news", []) == []
        broker.end("news")
        assert broker.append("news", []) == []


# pytest goes from the last base to the first, so that failures can be taken from top to bottom.
class BrokerContract(SharingContract, WatchContract, KeyContract, LifeContract, LogContract, Contract):
    """What every broker keeps."""
