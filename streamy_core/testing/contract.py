"""The contract of a broker: every promise of `Broker` and `Watch` as a test.

Subclass it, name the class `Test…`, and say in the fixture `make_broker` how to make a broker.
If you can stop and start the backend, subclass `FaultContract` as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..broker import Broker, ListsStreams
from ..errors import Closed, StreamEnded
from ..events import Event
from ..ids import ID, OLDEST
from .basis import Contract, MakeBroker
from .reading import DEADLINE, data_of, events, read, read_all
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


STRANGE_KEYS = ["", " ", ":", "*", "\0", "\n", "é", "🎈", "\ud800", "k" * 5_000]


class BrokerContract(WatchContract, SharingContract, Contract):
    """What every broker keeps."""

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
        assert (data_of(first.entries), first.ended) == (["a", "b", "c"], True)
        assert read(broker, "news") == first, "the second reader found another log than the first"

    def test_a_page_has_no_more_than_its_limit_and_leads_on(self, broker: Broker) -> None:
        broker.append("news", events(*"abcde"))
        page = read(broker, "news", limit=2)
        assert data_of(page.entries) == ["a", "b"], "a page has no more entries than its limit"
        assert page.cursor == page.entries[-1].id, "a page's cursor is the id of its last entry"
        assert data_of(read_all(broker, "news", page.cursor, limit=2)) == list("cde")

    @pytest.mark.parametrize("limit", [1, 2, 100, 10_000])
    def test_a_page_is_full_or_reaches_the_end(self, broker: Broker, limit: int) -> None:
        broker.append("news", events(*map(str, range(150))))
        found = len(read(broker, "news", limit=limit).entries)
        assert found == min(limit, 150), "a page with fewer entries than its limit reaches the end of the log"

    def test_a_page_at_the_head_is_empty_and_stays_there(self, broker: Broker) -> None:
        (last,) = broker.append("news", events("a"))
        page = read(broker, "news", last)
        assert (page.entries, page.cursor, page.ended, page.gap) == ((), last, False, False)

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
        assert [name for name in names if pages[name].entries] == grown
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
            assert mine == [f"{who} {n}" for n in range(50)]

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
        tail = broker.tail("news")
        broker.append("news", events("new"))
        assert data_of(read_all(broker, "news", tail)) == ["new"]

    def test_the_tail_of_an_unknown_stream_stays_good_when_it_appears(self, broker: Broker) -> None:
        tail = broker.tail("news")
        assert ID.fullmatch(tail)
        assert data_of(read_all(broker, "news", tail)) == []
        broker.append("news", events("a", "b"))
        assert data_of(read_all(broker, "news", tail)) == ["a", "b"]

    def test_every_page_has_a_cursor_that_can_be_kept(self, broker: Broker) -> None:
        page = read(broker, "news", OLDEST)
        assert ID.fullmatch(page.cursor), "also the cursor of a stream that doesn't exist is an id"
        broker.append("news", events("a"))
        assert data_of(read_all(broker, "news", page.cursor)) == ["a"]

    def test_reading_creates_no_stream(self, broker: Broker) -> None:
        broker.tail("news")
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
        assert data_of(read_all(broker, "news", page.cursor)) == ["a", "b"]

    def test_a_strange_cursor_of_an_unknown_stream_is_a_gap(self, broker: Broker) -> None:
        page = read(broker, "nobody", "x")
        assert (page.entries, page.ended, page.gap) == ((), False, True)

    def test_a_gap_on_an_ended_stream_leads_to_its_entries_and_its_end(self, broker: Broker) -> None:
        broker.append("news", events("a", "b"))
        broker.end("news")
        gap = read(broker, "news", "x")
        assert (gap.entries, gap.ended, gap.gap) == ((), False, True), "a gap comes alone, and before the end"
        page = read(broker, "news", gap.cursor)
        assert (data_of(page.entries), page.ended) == (["a", "b"], True)

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

    def test_what_was_trimmed_is_a_gap_and_reading_goes_on_at_the_oldest(
        self, make_broker: MakeBroker
    ) -> None:
        with make_broker("short", history=10) as broker:
            first, *_ = broker.append("news", events("first", "second"))
            for n in range(100):
                broker.append("news", events(str(n)))
            page = read(broker, "news", first)
            assert page.gap, "entries behind this cursor are gone, and its reader isn't told"
            kept = read_all(broker, "news")
            assert data_of(kept) == [str(n) for n in range(100 - len(kept), 100)]
            assert 10 <= len(kept) <= 20, "history=10 keeps at least 10 entries, and at most as many again"
            assert read_all(broker, "news", page.cursor) == kept

    def test_a_reader_that_has_all_but_the_kept_entries_has_no_gap(self, make_broker: MakeBroker) -> None:
        with make_broker("short", history=10) as broker:
            ids = [broker.append("news", events(str(n)))[0] for n in range(100)]
            kept = read_all(broker, "news")
            last_trimmed = ids[100 - len(kept) - 1]
            assert read_all(broker, "news", last_trimmed) == kept

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
        assert (data_of(page.entries), page.ended) == (["a", "b"], False)
        page = read(broker, "news", page.cursor, limit=2)
        assert (data_of(page.entries), page.ended) == (["c"], True)

    def test_the_end_has_a_cursor_of_its_own(self, broker: Broker) -> None:
        (last,) = broker.append("news", events("a"))
        broker.end("news")
        told = read(broker, "news", last)
        assert (told.entries, told.ended) == ((), True)
        assert told.cursor != last, "whoever has the last entry hasn't seen the end yet"
        assert ID.fullmatch(told.cursor), f"the end's cursor is an id like any other, not {told.cursor!r}"
        knows = read(broker, "news", told.cursor)
        assert (knows.entries, knows.ended, knows.cursor) == ((), True, told.cursor)

    def test_the_tail_of_an_ended_stream_lies_before_its_end(self, broker: Broker) -> None:
        broker.append("news", events("a"))
        broker.end("news")
        tail = broker.tail("news")
        page = read(broker, "news", tail)
        assert (page.entries, page.ended) == ((), True)
        assert page.cursor != tail, "who reads on from the tail is to be told of the end"

    def test_a_stream_can_end_before_its_first_event(self, broker: Broker) -> None:
        tail = broker.tail("news")
        broker.end("news")
        assert read(broker, "news", tail).ended
        with pytest.raises(StreamEnded):
            broker.append("news", events("a"))

    def test_a_repeated_key_stores_nothing_and_returns_the_same_ids(self, broker: Broker) -> None:
        first = broker.append("news", events("a", "b"), idempotency_key="k")
        again = broker.append("news", events("a", "b"), idempotency_key="k")
        assert again == first, "a key that was used before returns the ids of that first time"
        assert data_of(read_all(broker, "news")) == ["a", "b"], "a key that was used before stores nothing"

    def test_a_key_holds_for_one_stream(self, broker: Broker) -> None:
        broker.append("news", events("a"), idempotency_key="k")
        broker.append("other", events("a"), idempotency_key="k")
        assert data_of(read_all(broker, "other")) == ["a"], "a key of another stream was taken for this one's"

    def test_a_key_is_answered_after_the_end_too(self, broker: Broker) -> None:
        first = broker.append("news", events("a"), idempotency_key="k")
        assert len(first) == 1, "append returns the ids of the new entries"
        broker.end("news")
        assert broker.append("news", events("a"), idempotency_key="k") == first

    @pytest.mark.parametrize("key", STRANGE_KEYS, ids=lambda key: ascii(key[:12]))
    def test_any_text_is_a_key(self, broker: Broker, key: str) -> None:
        first = broker.append("news", events("a"), idempotency_key=key)
        again = broker.append("news", events("a"), idempotency_key=key)
        assert again == first, f"the key {key[:20]!r} was used before, and returns the ids of that first time"
        other = broker.append("news", events("b"), idempotency_key=f"{key} ")
        assert other != first, f"the key {key[:20]!r} is not the same with a space behind it"

    def test_appending_nothing_does_nothing(self, broker: Broker) -> None:
        assert broker.append("news", []) == []
        broker.end("news")
        assert broker.append("news", []) == []

    def test_appending_nothing_uses_up_no_key(self, broker: Broker) -> None:
        assert broker.append("news", [], idempotency_key="k") == []
        assert len(broker.append("news", events("a"), idempotency_key="k")) == 1
        assert data_of(read_all(broker, "news")) == ["a"]

    def test_one_key_from_many_threads_stores_once(self, broker: Broker) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = [
                pool.submit(broker.append, "news", events("a"), idempotency_key="k") for _ in range(16)
            ]
        ids = {tuple(answer.result()) for answer in answers}
        assert len(ids) == 1, "one key, from several threads at once, was stored more than once"
        assert data_of(read_all(broker, "news")) == ["a"]

    def test_a_closed_broker_says_so(self, broker: Broker) -> None:
        broker.close()
        broker.close()
        calls: list[Callable[[], object]] = [
            lambda: broker.append("news", events("a")),
            lambda: broker.read({"news": OLDEST}, 1),
            lambda: broker.tail("news"),
            lambda: broker.end("news"),
            lambda: broker.watch(),
        ]
        for call in calls:
            with pytest.raises(Closed):
                call()
