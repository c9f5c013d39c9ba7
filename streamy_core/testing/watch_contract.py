"""The doorbell's half of the contract."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest

from ..broker import BringsEntries, Broker, Watch
from ..errors import Closed
from ..events import Page
from ..ids import OLDEST
from .basis import MakeBroker
from .reading import DEADLINE, events, finish, in_a_thread, read, wait_for_bell

ROUNDS = 10
"""So many tries, as nothing tells whether another thread's `wait` is under way already."""


class WatchContract:
    """What every broker's watch keeps."""

    def test_an_append_after_add_makes_a_wait_name_the_stream(self, broker: Broker) -> None:
        watch = broker.watch()
        watch.add("news")
        broker.append("news", events("a"))
        wait_for_bell(watch, "news")

    def test_the_end_rings_too(self, broker: Broker) -> None:
        watch = broker.watch()
        watch.add("news")
        broker.end("news")
        wait_for_bell(watch, "news")

    def test_a_bell_that_rang_before_wait_is_not_forgotten(self, broker: Broker) -> None:
        watch = broker.watch()
        for name in ("a", "b", "c"):
            watch.add(name)
            broker.append(name, events("x"))
        wait_for_bell(watch, "a", "b", "c")

    def test_adding_again_forgets_no_bell(self, broker: Broker) -> None:
        watch = broker.watch()
        watch.add("news")
        broker.append("news", events("a"))
        watch.add("news")
        wait_for_bell(watch, "news")

    def test_a_bell_wakes_a_wait_under_way(self, broker: Broker) -> None:
        watch = broker.watch()
        watch.add("news")
        for _ in range(ROUNDS):
            waiting = in_a_thread(lambda: watch.wait(None))
            broker.append("news", events("a"))
            finish(waiting, "a bell wakes the wait under way")

    def test_a_thousand_streams_are_watched_at_once(self, broker: Broker) -> None:
        watch = broker.watch()
        names = [f"s{n}" for n in range(1_000)]
        for name in names:
            watch.add(name)
        grown = names[::100] + names[-1:]
        for name in grown:
            broker.append(name, events("a"))
        wait_for_bell(watch, *grown)

    def test_every_watch_hears_every_bell(self, broker: Broker) -> None:
        watches = broker.watch(), broker.watch()
        for watch in watches:
            watch.add("news")
        broker.append("news", events("a"))
        for watch in watches:
            wait_for_bell(watch, "news")

    def test_adding_twice_and_discarding_once_stops_watching(self, broker: Broker) -> None:
        watch = broker.watch()
        watch.add("news")
        watch.add("news")
        watch.discard("news")
        watch.discard("news")
        watch.discard("never added")
        watch.add("news")
        broker.append("news", events("a"))
        wait_for_bell(watch, "news")

    def test_what_bells_bring_along_is_what_the_log_holds(self, broker: Broker) -> None:
        watch = broker.watch()
        watch.add("news")
        if not isinstance(watch, BringsEntries):
            pytest.skip("its bells bring no entries")
        page: Page | None = None
        cursor = OLDEST
        end = time.monotonic() + DEADLINE
        while not (page and page.entries):
            left = end - time.monotonic()
            assert left > 0, "no bell ever brought what was appended"
            (cursor,) = broker.append("news", events("before"))
            broker.append("news", events("a", "b"))
            watch.wait(left)
            page = watch.brought("news", cursor)
            if page is None:
                read(broker, "news", cursor)  # as a hub does; by it, a watch may learn which bells to trust
        assert page == read(broker, "news", cursor, len(page.entries))
        assert watch.brought("news", cursor) is None, "what has been given once is given no more"

    def test_wait_returns_after_its_timeout(self, broker: Broker) -> None:
        watch = broker.watch()
        watch.add("news")
        start = time.monotonic()
        while time.monotonic() - start < DEADLINE:
            waiting = in_a_thread(lambda: watch.wait(0.05))
            finish(waiting, "`wait` returns after its timeout")
            if not waiting.result():
                return
        raise AssertionError("a watch of a silent stream never stops ringing")

    def test_wait_blocks_while_there_is_nothing_to_tell(self, broker: Broker) -> None:
        watch = broker.watch()
        watch.add("news")
        start = time.monotonic()
        for _ in range(ROUNDS):
            finish(in_a_thread(lambda: watch.wait(0.05)), "`wait` returns after its timeout")
        took = time.monotonic() - start
        assert took > ROUNDS * 0.05 / 2, (
            f"`wait` doesn't block: nothing rang, and {ROUNDS} waits of 0.05 s took {took:.3f} s"
        )

    def test_interrupt_makes_a_wait_under_way_return(self, broker: Broker) -> None:
        watch = broker.watch()
        for _ in range(ROUNDS):
            waiting = in_a_thread(lambda: watch.wait(None))
            watch.interrupt()
            finish(waiting, "`interrupt` makes the wait under way return")

    def test_an_interrupt_before_wait_is_not_forgotten(self, broker: Broker) -> None:
        watch = broker.watch()
        watch.interrupt()
        start = time.monotonic()
        watch.wait(DEADLINE)
        assert time.monotonic() - start < DEADLINE / 2, "the interrupt before `wait` was forgotten"

    def test_closing_makes_a_wait_under_way_return(self, broker: Broker) -> None:
        for _ in range(ROUNDS):
            watch = broker.watch()
            waiting = in_a_thread(partial(_wait_out, watch))
            watch.close()
            finish(waiting, "closing the watch makes the wait under way return")

    def test_a_closed_watch_waits_no_more(self, broker: Broker) -> None:
        watch = broker.watch()
        watch.close()
        watch.close()
        with pytest.raises(Closed):
            watch.wait(DEADLINE)

    def test_closing_the_broker_closes_its_watches(self, broker: Broker) -> None:
        watch = broker.watch()
        broker.close()
        with pytest.raises(Closed):
            watch.wait(DEADLINE)

    def test_closing_the_broker_makes_a_wait_under_way_return(self, make_broker: MakeBroker) -> None:
        for _ in range(ROUNDS):
            with make_broker() as broker:
                waiting = in_a_thread(partial(_wait_out, broker.watch()))
            finish(waiting, "closing the broker makes the wait under way return")

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


def _wait_out(watch: Watch) -> None:
    with suppress(Closed):  # it may have been closed before the wait began
        watch.wait(None)
