"""What an author's watch is built on: it names what it was told of, and says when bells were lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from streamy_backends.memory import MemoryBroker
from streamy_core.broker import (
    BaseWatch,
    BrokerUnavailable,
    Closed,
    FixedPolling,
    PollingWatch,
    Watch,
)
from streamy_core.testing.reading import DEADLINE, eventually, in_a_thread
from streamy_core.testing.watch_contract import WatchContract

from ..testing.trying import alone, failures


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


def test_a_watch_that_asks_keeps_the_contract() -> None:
    assert failures(WatchContract, alone(PolledMemory)) == {}
