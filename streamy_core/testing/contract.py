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
from .basis import AWKWARD_NAMES, STRANGE_CURSORS, Contract, MakeBroker
from .history_contract import HistoryContract
from .key_contract import KeyContract
from .life_contract import LifeContract
from .page_contract import PageContract
from .reading import DEADLINE, data_of, events, read, read_all, tail
from .sharing_contract import SharingContract
from .surviving_contract import SurvivingContract
from .watch_contract import WatchContract

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

    def test_reading_takes_nothing_away(self, broker: Broker) -> None:
        broker.append("news", events(*"abc"))
        broker.end("news")
        first = read(broker, "news")
        assert (data_of(first.entries), first.ended) == (["a", "b", "c"], True), (
            "the first reader isn't told of the whole log and its end"
        )
        assert read(broker, "news") == first, "the second reader found another log than the first"

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
class BrokerContract(
    SurvivingContract,
    SharingContract,
    WatchContract,
    KeyContract,
    LifeContract,
    HistoryContract,
    PageContract,
    LogContract,
    Contract,
):
    """What every broker keeps."""
