"""The watches that a broker's author builds on: one that is told what has grown, and one that asks."""

from __future__ import annotations

import threading
from collections.abc import Collection, Hashable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from streamy_core.broker import BaseWatch, BrokerUnavailable, Closed, FixedPolling, PollingWatch
from streamy_core.testing.reading import DEADLINE, wait_for_bell

NEVER = FixedPolling(3_600.0)


@pytest.fixture
def watch() -> Iterator[BaseWatch]:
    """One that watches a and b."""
    with closing(BaseWatch()) as watch:
        for name in "ab":
            watch.add(name)
        yield watch


def test_what_has_rung_is_named_once_and_only_if_it_is_watched(watch: BaseWatch) -> None:
    watch.ring(["a", "c"])
    assert set(watch.wait(0)) == {"a"}
    assert not watch.wait(0)


def test_all_that_is_watched_can_be_rung(watch: BaseWatch) -> None:
    watch.ring_all()
    assert set(watch.wait(0)) == {"a", "b"}


def test_what_is_watched_no_longer_is_not_named_although_it_has_rung(watch: BaseWatch) -> None:
    watch.ring(["a", "b"])
    watch.discard("a")
    assert set(watch.wait(0)) == {"b"}


def test_a_ring_wakes_who_waits(watch: BaseWatch) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(watch.wait, DEADLINE)
        watch.ring(["a"])
        assert set(waiting.result(DEADLINE)) == {"a"}


def test_whoever_made_it_is_told_once_that_it_is_closed() -> None:
    told: list[BaseWatch] = []
    watch = BaseWatch(on_close=told.append)
    watch.close()
    watch.close()
    assert (told, watch.closed) == ([watch], True)
    with pytest.raises(Closed):
        watch.wait(0)


class Freeing(BaseWatch):
    """Notes whether it has been freed."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.freed = 0

    def _listen(self, timeout: float | None) -> None:
        self.begun.set()
        super()._listen(timeout)

    def _free(self) -> None:
        self.freed += 1


def test_what_listening_uses_is_freed_once_nobody_waits() -> None:
    watch = Freeing()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(watch.wait, None)
        assert watch.begun.wait(DEADLINE)
        watch.close()
        waiting.result(DEADLINE)
    assert watch.freed == 1
    watch.close()
    assert watch.freed == 1


class States:
    """The states of streams, and what has been asked for."""

    def __init__(self, **states: Hashable) -> None:
        self.states = states
        self.looks: list[set[str]] = []
        self.away = False

    def __call__(self, names: Collection[str]) -> Mapping[str, Hashable]:
        self.looks.append(set(names))
        if self.away:
            raise BrokerUnavailable("away")
        return {name: self.states[name] for name in names if name in self.states}


@pytest.fixture
def states() -> States:
    return States(a=1, b=1)


@pytest.fixture
def polling(states: States) -> Iterator[PollingWatch]:
    """One that watches a and b and c, which isn't there, has looked once, and never looks by itself."""
    with closing(PollingWatch(states, NEVER)) as watch:
        for name in "abc":
            watch.add(name)
        wait_for_bell(watch, "a", "b")
        states.looks.clear()
        yield watch


def test_a_look_asks_for_all_streams_at_once_and_names_those_that_have_changed(
    states: States, polling: PollingWatch
) -> None:
    states.states["b"] = 2
    polling.look_soon()
    assert set(polling.wait(DEADLINE)) == {"b"}
    assert states.looks == [{"a", "b", "c"}]


def test_a_stream_that_appears_and_one_that_goes_have_changed(states: States, polling: PollingWatch) -> None:
    states.states["c"] = 1
    del states.states["a"]
    polling.look_soon()
    assert set(polling.wait(DEADLINE)) == {"a", "c"}


def test_nothing_is_asked_between_two_looks(states: States, polling: PollingWatch) -> None:
    states.states["b"] = 2
    assert not polling.wait(0.02)
    assert states.looks == []


def test_a_stream_that_is_added_is_looked_at_soon_and_named_if_it_is_there(
    states: States, polling: PollingWatch
) -> None:
    states.states["d"] = 1
    polling.add("d")
    assert set(polling.wait(DEADLINE)) == {"d"}


def test_a_look_that_fails_is_told_to_who_waits(states: States, polling: PollingWatch) -> None:
    states.away = True
    polling.look_soon()
    with pytest.raises(BrokerUnavailable):
        polling.wait(DEADLINE)


def test_it_looks_as_often_as_the_scheduler_says(states: States) -> None:
    with closing(PollingWatch(states, FixedPolling(0.01))) as watch:
        watch.add("a")
        wait_for_bell(watch, "a")
        states.states["a"] = 2
        wait_for_bell(watch, "a")
