"""What an author's watch is built on: it names what it was told of, and says when bells were lost."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping
from contextlib import closing

import pytest

from streamy_backends.memory import Limits, MemoryBroker
from streamy_core.broker import (
    BaseWatch,
    Broker,
    BrokerUnavailable,
    Closed,
    FixedPolling,
    PollingWatch,
    Watch,
)
from streamy_core.events import CANARY
from streamy_core.testing import MakeBroker
from streamy_core.testing.reading import DEADLINE, eventually, in_a_thread, wait_for_bell
from streamy_core.testing.watch_contract import WatchContract

NEVER = FixedPolling(3_600.0)


@pytest.fixture
def watch() -> Iterator[BaseWatch]:
    with closing(BaseWatch()) as watch:
        yield watch


def test_what_is_rung_and_watched_is_named_once(watch: BaseWatch) -> None:
    watch.add("news")
    watch.ring(["news", "nobody's"])
    assert set(watch.wait(0)) == {"news"}
    assert not watch.wait(0)


def test_all_that_is_watched_may_have_rung(watch: BaseWatch) -> None:
    for name in ("a", "b", "c"):
        watch.add(name)
    watch.discard("b")
    watch.ring_all()
    assert set(watch.wait(0)) == {"a", "c"}


def test_what_is_watched_no_longer_is_not_named_although_it_has_rung(watch: BaseWatch) -> None:
    for name in "ab":
        watch.add(name)
    watch.ring(["a", "b"])
    watch.discard("a")
    assert set(watch.wait(0)) == {"b"}


def test_a_ring_wakes_who_waits(watch: BaseWatch) -> None:
    watch.add("a")
    waiting = in_a_thread(lambda: watch.wait(None))
    watch.ring(["a"])
    assert waiting.result(DEADLINE) == {"a"}


def test_whoever_made_it_is_told_once_that_it_is_closed() -> None:
    told: list[BaseWatch] = []
    watch = BaseWatch(on_close=told.append)
    watch.close()
    watch.close()
    assert (told, watch.closed) == ([watch], True)
    with pytest.raises(Closed):
        watch.wait(0)


def test_lost_bells_are_told_to_who_waits_and_to_who_comes_later(watch: BaseWatch) -> None:
    watch.add("news")
    waiting = in_a_thread(lambda: watch.wait(None))
    fault = BrokerUnavailable("the connection is lost")
    watch.fail(fault)
    assert waiting.exception(DEADLINE) is fault
    watch.ring(["news"])
    with pytest.raises(BrokerUnavailable, match="the connection is lost"):
        watch.wait(0)
    watch.close()
    with pytest.raises(Closed):
        watch.wait(0)


def test_what_a_watch_uses_is_freed_once_and_not_under_who_waits() -> None:
    freed: list[str] = []

    class Freed(BaseWatch):
        def _listen(self, timeout: float | None) -> None:
            super()._listen(timeout)
            assert not freed, "it is still being waited on"

        def _free(self) -> None:
            freed.append("once")

    watch = Freed()
    waiting = in_a_thread(lambda: watch.wait(None))
    watch.close()
    watch.close()
    waiting.exception(DEADLINE)
    eventually(lambda: freed == ["once"], "what it uses freed")
    with pytest.raises(Closed):
        watch.wait(0)
    assert freed == ["once"]


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


def test_a_canary_that_grows_is_named_and_no_reason_to_look_often(
    states: States, polling: PollingWatch
) -> None:
    canary = f"{CANARY}1"
    states.states[canary] = 1
    polling.add(canary)
    wait_for_bell(polling, canary)
    for name, counts in ((canary, False), ("a", True)):
        before = polling._grown_at
        states.states[name] = 2
        polling.look_soon()
        assert set(polling.wait(DEADLINE)) == {name}
        assert (polling._grown_at > before) is counts


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


class PolledMemory(MemoryBroker):
    """Its watches ask."""

    def watch(self) -> Watch:
        watch = PollingWatch(self.tail, FixedPolling(0.002), self._unwatch)
        with self._lock():
            self._watches = (*self._watches, watch)
        return watch

    def end(self, stream_id: str) -> None:
        super().end(stream_id)
        for watch in self._watches:
            watch.ring([stream_id])


@pytest.mark.slow
class TestAWatchThatAsks(WatchContract):
    """It keeps the contract."""

    @pytest.fixture
    def make_broker(self) -> MakeBroker:
        return lambda log="log", *, history=10_000: PolledMemory(Limits(history=history))

    @pytest.fixture
    def broker(self, make_broker: MakeBroker) -> Iterator[Broker]:
        with make_broker() as broker:
            yield broker
