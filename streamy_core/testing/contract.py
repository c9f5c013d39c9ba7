"""The contract of a broker: every promise of `Broker` and `Watch` as a test.

Subclass it, name the class `Test…`, and say in the fixture `make_broker` how to make a broker.
If you can stop and start the backend, subclass `FaultContract` as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..broker import Broker, ListsStreams
from ..events import Event
from ..ids import ID, OLDEST
from .basis import AWKWARD_NAMES, STRANGE_CURSORS, Contract, MakeBroker
from .capability_contract import CapabilityContract
from .history_contract import HistoryContract
from .key_contract import KeyContract
from .last_contract import LastContract
from .life_contract import LifeContract
from .many_contract import ManyContract
from .page_contract import PageContract
from .reading import DEADLINE, data_of, events, in_a_thread, read, read_all, tail
from .sharing_contract import SharingContract
from .surviving_contract import SurvivingContract
from .watch_contract import WatchContract
from .within_contract import WithinContract


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
        places: dict[str, list[str]] = {}
        for name, data in (("news", "abcdefghij"), ("other", "abc")):
            for place, entry_id in enumerate(broker.append(name, events(*data)), 1):
                places.setdefault(entry_id, []).append(f"entry {place} of {name!r}")
        ids = list(places)
        twice = {entry_id: where for entry_id, where in places.items() if len(where) > 1}
        assert not twice, f"two entries have one id: {twice}"
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
            Event("data", "streamy.until.VdK9f3hQ2.typing", 5),  # as what expires is stored
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

    def test_a_batch_is_seen_whole_or_not_at_all(self, broker: Broker) -> None:
        def publish() -> None:
            for n in range(20):
                broker.append("news", events(*[f"{n} {part}" for part in range(50)]))

        publishing = in_a_thread(publish)
        while not publishing.done():
            seen = len(read(broker, "news", limit=10_000).entries)
            assert seen % 50 == 0, f"of batches of 50 events a reader has seen {seen % 50} of the last one"
        publishing.result()

    def test_names_are_exact(self, broker: Broker) -> None:
        for name in AWKWARD_NAMES:
            broker.append(name, events(f"for {name}"))
        for name in AWKWARD_NAMES:
            found = data_of(read_all(broker, name))
            assert found == [f"for {name}"], f"another name is taken for {_short(name)}, or this one is lost"

    def test_tails_and_ends_are_of_exact_names_too(self, broker: Broker) -> None:
        tails: dict[str, str] = {}
        for name in AWKWARD_NAMES:
            broker.append(name, events("a"))
            tails[name] = tail(broker, name)
        assert dict(broker.tail(AWKWARD_NAMES)) == tails
        for name in AWKWARD_NAMES[::2]:
            broker.end(name)
        pages = broker.read(tails, 10)
        ended = [name for name in AWKWARD_NAMES if pages[name].ended]
        assert ended == AWKWARD_NAMES[::2], "other streams have ended than those that were"

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
        assert ID.fullmatch(page.cursor), (
            f"the cursor of a page with a gap is sent to clients, as any other: it can't be {page.cursor!r}"
        )
        assert data_of(read_all(broker, "news", page.cursor)) == ["a", "b"], (
            "a gap's cursor leads on to the oldest entry"
        )

    def test_a_strange_cursor_of_an_unknown_stream_is_a_gap(self, broker: Broker) -> None:
        page = read(broker, "nobody", "x")
        assert (page.entries, page.ended, page.gap) == ((), False, True), (
            "a stream that doesn't exist has no entries and no end, and 'x' is nobody's cursor"
        )
        assert ID.fullmatch(page.cursor), (
            f"the cursor of a page with a gap is sent to clients, as any other: it can't be {page.cursor!r}"
        )
        assert not read(broker, "nobody", page.cursor).gap, "after a gap's cursor there is no gap again"

    def test_a_cursor_that_was_never_handed_out_is_a_gap(self, broker: Broker) -> None:
        before = tail(broker, "news")
        ids = broker.append("news", events(*"abc"))
        known = {before, *ids}
        for cursor in sorted({other for known_id in ids for other in _others_like(known_id)} - known):
            page = read(broker, "news", cursor)
            # One that stands before the first entry says the truth, whatever it is called.
            assert page.gap or len(page.entries) == 3, (
                f"{cursor!r} is no id of this stream's, which has {ids}, and is taken for a place in it"
            )

    def test_a_cursor_beyond_the_newest_entry_is_a_gap(self, make_broker: MakeBroker) -> None:
        with make_broker() as broker:
            ids = broker.append("news", events(*"abc"))
            for cursor in _further(ids):
                assert read(broker, "news", cursor).gap, (
                    f"{cursor!r} lies beyond {ids[-1]!r}, the newest entry: what comes would be stepped over"
                )

    def test_a_cursor_of_another_history_is_a_gap(self, broker: Broker, make_broker: MakeBroker) -> None:
        with make_broker("another") as other:
            foreign = other.append("news", events("a", "b", "c"))
            other.end("news")
            foreign.append(read(other, "news").cursor)
        broker.append("news", events("x", "y", "z"))
        for cursor in foreign:
            assert read(broker, "news", cursor).gap, "two histories must never hand out the same id"

    def test_a_cursor_of_another_stream_is_a_gap(self, broker: Broker) -> None:
        (cursor,) = broker.append("other", events("a"))
        broker.append("news", events("x"))
        assert read(broker, "news", cursor).gap, "an id is one stream's, and no cursor in another"

    def test_an_end_of_another_stream_is_no_cursor(self, broker: Broker) -> None:
        for name in ("news", "other"):
            broker.append(name, events("x"))
            broker.end(name)
        end = read(broker, "other").cursor
        assert read(broker, "news", end).gap, (
            "each end has an id of its own, and is no cursor in another stream"
        )

    def test_ids_are_not_used_again_after_the_data_was_deleted(
        self, make_broker: MakeBroker, wipe: Callable[[], None] | None
    ) -> None:
        if wipe is None:
            pytest.skip("the fixture `wipe` doesn't say how to delete all data")
        with make_broker() as broker:
            before = [tail(broker, "news"), *broker.append("news", events("a", "b"))]
        wipe()
        with make_broker() as broker:
            assert data_of(read_all(broker, "news")) == [], "`wipe` has left something"
            for cursor in before[1:]:
                assert read(broker, "news", cursor).gap, "a reader of what was deleted isn't told of a gap"
            after = broker.append("news", events("c", "d"))
            assert not set(before) & set(after), "an id was handed out again after the data was deleted"
            for cursor in before:
                assert read(broker, "news", cursor).gap, "a reader of what was deleted isn't told of a gap"

    def test_appending_nothing_does_nothing(self, broker: Broker) -> None:
        assert broker.append("news", []) == []
        broker.end("news")
        assert broker.append("news", []) == []


def _short(name: str) -> str:
    return repr(name if len(name) <= 20 else f"{name[:10]}…{name[-5:]}")


def _others_like(known: str) -> Iterator[str]:
    """Ids that differ from this one in one character, or by a zero more."""
    for place, character in enumerate(known):
        for another in {"0", "9", "a", "z", chr(ord(character) + 1), character.swapcase()} - {character}:
            yield f"{known[:place]}{another}{known[place + 1 :]}"
        yield f"{known[:place]}0{known[place:]}"
    yield from (known[1:], known[:-1], f"{known}.", f"{known}0")


def _further(ids: Sequence[str]) -> list[str]:
    """What later ids might be, if they are counted: the newest, with what it differs in raised."""
    before, newest = ids[-2:]
    places = [n for n, (one, other) in enumerate(zip(before, newest, strict=False)) if one != other]
    if len(before) != len(newest) or len(places) != 1:
        return []  # they aren't counted, or hold something random
    (place,) = places
    return [
        f"{newest[:place]}{chr(ord(newest[place]) + more)}{newest[place + 1 :]}"
        for more in (1, 2, 3)
        if chr(ord(newest[place]) + more).isalnum()
    ]


# pytest goes from the last base to the first, so that failures can be taken from top to bottom.
class BrokerContract(
    SurvivingContract,
    SharingContract,
    WithinContract,
    LastContract,
    ManyContract,
    CapabilityContract,
    WatchContract,
    KeyContract,
    LifeContract,
    HistoryContract,
    PageContract,
    LogContract,
    Contract,
):
    """What every broker keeps."""
