"""The doorbell's half of the contract."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest

from ..broker import BringsEntries, Broker, Event, KeepsMeta, Watch
from ..errors import Closed
from ..events import Page
from ..ids import OLDEST
from .basis import AWKWARD_NAMES, MakeBroker
from .reading import (
    DEADLINE,
    WAKES_WITHIN,
    events,
    finish,
    in_a_thread,
    named_by,
    read,
    rest,
    wait_for_bell,
)

ROUNDS = 10
"""So many tries, as nothing tells whether another thread's `wait` is under way already."""
A_MOMENT = 1.0
"""Seconds for which a watch at rest is observed."""


class WatchContract:
    """What every broker's watch keeps. A watch is at rest before a bell is asked for, as one that names
    everything once when it is added, or all the time, needs no bell."""

    def test_an_append_after_add_makes_a_wait_name_the_stream(self, broker: Broker) -> None:
        _assert_named(_watching(broker, "news"), broker, "news")

    def test_a_later_append_makes_a_later_wait_name_the_stream(self, broker: Broker) -> None:
        watch = _watching(broker, "news")
        for data in ("a", "b", "c"):
            broker.append("news", events(data))
            wait_for_bell(watch, "news", within=broker.rings_within)
            rest(watch, broker)

    def test_the_end_rings_too(self, broker: Broker) -> None:
        broker.append("news", events("a"))
        watch = _watching(broker, "news", "never written to")
        broker.end("news")
        broker.end("never written to")
        wait_for_bell(watch, "news", "never written to", within=broker.rings_within)

    def test_a_bell_that_rang_before_wait_is_not_forgotten(self, broker: Broker) -> None:
        _assert_named(_watching(broker, "a", "b", "c"), broker, "a", "b", "c")

    def test_adding_again_forgets_no_bell(self, broker: Broker) -> None:
        watch = _watching(broker, "news")
        broker.append("news", events("a"))
        watch.add("news")
        wait_for_bell(watch, "news", within=broker.rings_within)

    def test_adding_another_stream_forgets_no_bell(self, broker: Broker) -> None:
        watch = _watching(broker, "news")
        broker.append("news", events("a"))
        watch.add("other")
        wait_for_bell(watch, "news", within=broker.rings_within)

    def test_discarding_another_stream_forgets_no_bell(self, broker: Broker) -> None:
        watch = _watching(broker, "news", "other")
        broker.append("news", events("a"))
        watch.discard("other")
        wait_for_bell(watch, "news", within=broker.rings_within)

    def test_a_bell_wakes_a_wait_under_way(self, broker: Broker) -> None:
        watch = _watching(broker, "news")
        for _ in range(ROUNDS):
            waiting = in_a_thread(lambda: watch.wait(None))
            broker.append("news", events("a"))
            finish(waiting, "a bell wakes the wait under way", within=broker.rings_within)

    def test_a_thousand_streams_are_watched_at_once(self, broker: Broker) -> None:
        names = [f"s{n}" for n in range(1_000)]
        _assert_named(_watching(broker, *names), broker, *names[::100], names[-1])

    def test_bells_name_streams_exactly(self, broker: Broker) -> None:
        _assert_named(_watching(broker, *AWKWARD_NAMES), broker, *AWKWARD_NAMES)

    def test_every_watch_hears_every_bell(self, broker: Broker) -> None:
        watches = _watching(broker, "news"), _watching(broker, "news")
        for watch in watches:
            rest(watch, broker)
        broker.append("news", events("a"))
        for watch in watches:
            wait_for_bell(watch, "news", within=broker.rings_within)

    def test_closing_a_watch_leaves_others_be(self, broker: Broker) -> None:
        first, second = _watching(broker, "news"), _watching(broker, "news")
        first.close()
        rest(second, broker)
        _assert_named(second, broker, "news")

    def test_adding_twice_and_discarding_once_stops_watching(self, broker: Broker) -> None:
        watch = _watching(broker, "news", "other")
        watch.add("news")
        watch.discard("news")
        _assert_never_named(watch, broker, "news")
        watch.discard("news")
        watch.discard("never added")
        watch.add("news")
        rest(watch, broker)
        _assert_named(watch, broker, "news")

    def test_a_discarded_stream_is_named_no_more(self, broker: Broker) -> None:
        watch = _watching(broker, "news", "other")
        watch.discard("news")
        _assert_never_named(watch, broker, "news")

    def test_a_stream_that_was_never_added_is_not_named(self, broker: Broker) -> None:
        _assert_never_named(_watching(broker, "other"), broker, "news")

    def test_what_bells_bring_along_is_what_the_log_holds(self, broker: Broker) -> None:
        watch = _watching(broker, "news")
        if not isinstance(watch, BringsEntries):
            pytest.skip("its bells bring no entries")
        along = Event("b", "name", 0, meta={"n": "2"} if isinstance(broker, KeepsMeta) else None)
        page: Page | None = None
        cursor = OLDEST
        end = time.monotonic() + DEADLINE
        while not (page and page.entries):
            left = end - time.monotonic()
            assert left > 0, "no bell ever brought what was appended"
            (cursor,) = broker.append("news", events("before"))
            broker.append("news", [*events("a"), along])
            watch.wait(left)
            page = watch.brought("news", cursor)
            if page is None:
                read(broker, "news", cursor)  # as a hub does; by it, a watch may learn which bells to trust
        assert page == read(broker, "news", cursor, len(page.entries))
        assert watch.brought("news", cursor) is None, "what has been given once is given no more"

    def test_wait_returns_after_its_timeout(self, broker: Broker) -> None:
        took = _waits_in_a_row(_watching(broker, "news"), 0.05)
        assert took < ROUNDS * (0.05 + WAKES_WITHIN), f"{ROUNDS} waits of 0.05 s took {took:.3f} s"

    def test_wait_blocks_while_there_is_nothing_to_tell(self, broker: Broker) -> None:
        took = _waits_in_a_row(_watching(broker, "news"), 0.05)
        assert took > ROUNDS * 0.05 / 2, (
            f"`wait` doesn't block: nothing rang, and {ROUNDS} waits of 0.05 s took {took:.3f} s"
        )

    def test_a_watch_at_rest_names_nothing_and_leaves_the_cpu_alone(self, broker: Broker) -> None:
        names = [f"s{n}" for n in range(100)]
        for name in names[::2]:
            broker.append(name, events("a"))
        watch = _watching(broker, *names)
        named: list[str] = []
        start, busy = time.monotonic(), time.process_time()
        while (left := start + A_MOMENT - time.monotonic()) > 0:
            named += named_by(watch, left)
        busy = time.process_time() - busy
        assert not named, f"nothing has grown, and in {A_MOMENT:g} s the watch named {len(named)} streams"
        assert busy < A_MOMENT / 2, (
            f"nothing has grown, and {A_MOMENT:g} s of waiting took {busy:.2f} s of CPU"
        )

    def test_interrupt_makes_a_wait_under_way_return(self, broker: Broker) -> None:
        watch = broker.watch()
        for _ in range(ROUNDS):
            waiting = in_a_thread(lambda: watch.wait(None))
            watch.interrupt()
            finish(waiting, "`interrupt` makes the wait under way return", within=WAKES_WITHIN)

    def test_an_interrupt_before_wait_is_not_forgotten(self, broker: Broker) -> None:
        watch = _watching(broker, "news")
        watch.interrupt()
        start = time.monotonic()
        watch.wait(2 * WAKES_WITHIN)
        assert time.monotonic() - start < WAKES_WITHIN, "the interrupt before `wait` was forgotten"

    def test_an_interrupt_makes_one_wait_return_and_no_other(self, broker: Broker) -> None:
        watch = _watching(broker, "news")
        for _ in range(2):
            watch.interrupt()
            watch.wait(DEADLINE)
        start = time.monotonic()
        watch.wait(0.3)
        took = time.monotonic() - start
        assert took > 0.2, (
            f"nothing rang, and a wait of 0.3 s took {took:.3f} s: an interrupt is still in force"
        )

    def test_an_interrupt_forgets_no_bell(self, broker: Broker) -> None:
        watch = _watching(broker, "news")
        broker.append("news", events("a"))
        watch.interrupt()
        wait_for_bell(watch, "news", within=broker.rings_within)

    def test_closing_makes_a_wait_under_way_return(self, broker: Broker) -> None:
        for _ in range(ROUNDS):
            watch = broker.watch()
            waiting = in_a_thread(partial(_wait_out, watch))
            watch.close()
            finish(waiting, "closing the watch makes the wait under way return", within=WAKES_WITHIN)

    def test_closing_a_watch_that_hears_streams_makes_its_wait_return(self, broker: Broker) -> None:
        watch = _watching(broker, "news", "other")
        waiting = in_a_thread(partial(_wait_out, watch))
        time.sleep(0.1)  # so that it is most likely to be blocked by now
        watch.close()
        finish(waiting, "closing the watch makes the wait under way return", within=WAKES_WITHIN)

    def test_a_closed_watch_waits_no_more(self, broker: Broker) -> None:
        watch = broker.watch()
        watch.close()
        watch.close()
        with pytest.raises(Closed):
            watch.wait(DEADLINE)

    def test_closing_the_broker_closes_its_watches(self, broker: Broker) -> None:
        watches = [broker.watch() for _ in range(3)]
        broker.close()
        for watch in watches:
            with pytest.raises(Closed):
                watch.wait(DEADLINE)

    def test_closing_the_broker_makes_a_wait_under_way_return(self, make_broker: MakeBroker) -> None:
        for _ in range(ROUNDS):
            with make_broker() as broker:
                waiting = in_a_thread(partial(_wait_out, broker.watch()))
            finish(waiting, "closing the broker makes the wait under way return", within=WAKES_WITHIN)

    def test_no_bell_is_forgotten_in_a_storm_of_adds_discards_and_appends(self, broker: Broker) -> None:
        watch = broker.watch()
        names = [f"stream-{n}" for n in range(8)]
        heard: set[str] = set()
        done = threading.Event()

        def listen() -> None:
            while not done.is_set():
                heard.update(watch.wait(0.1))

        def publish(name: str) -> None:
            for round_ in range(25):
                watch.discard(name)
                heard.discard(name)
                watch.add(name)
                broker.append(name, events(str(round_)))
                end = time.monotonic() + DEADLINE
                while name not in heard:
                    assert time.monotonic() < end, f"round {round_}: the watch never named {name!r}"
                    time.sleep(0.001)

        listener = in_a_thread(listen)
        try:
            with ThreadPoolExecutor(len(names)) as pool:
                for publisher in [pool.submit(publish, name) for name in names]:
                    publisher.result()
        finally:
            done.set()
        finish(listener, "the last `wait` returns after its timeout")


def _watching(broker: Broker, *names: str) -> Watch:
    """A watch of these streams, at rest."""
    watch = broker.watch()
    for name in names:
        watch.add(name)
    rest(watch, broker)
    return watch


def _waits_in_a_row(watch: Watch, timeout: float) -> float:
    """The seconds that `ROUNDS` waits of so many seconds take."""
    start = time.monotonic()
    for _ in range(ROUNDS):
        finish(in_a_thread(partial(watch.wait, timeout)), "`wait` returns after its timeout")
    return time.monotonic() - start


def _assert_named(watch: Watch, broker: Broker, *names: str) -> None:
    """Fails unless the watch, which is at rest, names these streams when they have grown."""
    for name in names:
        broker.append(name, events("a"))
    wait_for_bell(watch, *names, within=broker.rings_within)


def _assert_never_named(watch: Watch, broker: Broker, name: str) -> None:
    """Fails if the watch, which hears of "other" too, names this stream, which grows before "other" does."""
    broker.append(name, events("a"))
    broker.append("other", events("a"))
    named: set[str] = set()
    end = time.monotonic() + broker.rings_within
    while "other" not in named:
        named |= named_by(watch, max(0.0, end - time.monotonic()))
        heard = time.monotonic() < end or "other" in named
        assert heard, "the watch never named ['other'], which have grown"
    while again := named_by(watch, broker.quiet_for):
        named |= again
        assert time.monotonic() < end + DEADLINE, "a watch of a silent stream never stops ringing"
    assert name not in named, f"nobody watches {name!r}, and the watch names it"


def _wait_out(watch: Watch) -> None:
    with suppress(Closed):  # it may have been closed before the wait began
        watch.wait(None)
