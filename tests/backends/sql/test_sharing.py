"""Connections: shared among threads and greenlets, and few however much goes on."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from streamy_core.testing.reading import DEADLINE, data_of, events, read_all

from ..conftest import NewBroker
from ..promises.greenlets import GREENLETS, monkey_patched, turns_of_greenlets
from .counting import Counting

pytestmark = pytest.mark.slow

_PACKAGE: Final = __name__.rpartition(".")[0]

THREADS: Final = 16
EACH: Final = 25
MOST: Final = 3


def at_once(work: Callable[[int], object]) -> None:
    """Call `work(who)` in so many threads, all beginning together."""
    begin = threading.Barrier(THREADS)

    def run(who: int) -> None:
        begin.wait(DEADLINE)
        work(who)

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(run, who) for who in range(THREADS)]:
            done.result()


def test_threads_publish_and_read_through_one_broker(url: str, new_broker: NewBroker) -> None:
    broker = new_broker(url)

    def work(who: int) -> None:
        for n in range(EACH):
            broker.append("news", events(f"{who} {n}"))
            broker.append(f"own {who}", events(str(n)))
            assert data_of(read_all(broker, f"own {who}")) == [str(m) for m in range(n + 1)]

    at_once(work)
    seen = data_of(read_all(broker, "news"))
    assert Counter(seen) == Counter(f"{who} {n}" for who in range(THREADS) for n in range(EACH))
    for who in range(THREADS):
        assert [text for text in seen if text.startswith(f"{who} ")] == [f"{who} {n}" for n in range(EACH)]


def test_threads_share_few_connections(counting: Counting, new_broker: NewBroker) -> None:
    broker = new_broker(counting.url, max_connections=MOST)
    broker.watch().add("news")
    most: list[int] = []

    def work(who: int) -> None:
        for n in range(EACH):
            broker.append("news", events(f"{who} {n}"))
            if who == 0:
                most.append(len(counting.connections()))

    at_once(work)
    assert len(read_all(broker, "news")) == THREADS * EACH
    assert max(most) <= MOST + 1


def test_many_watched_streams_take_no_more_connections(counting: Counting, new_broker: NewBroker) -> None:
    broker = new_broker(counting.url)
    watch = broker.watch()
    watch.add("news")
    watch.wait(0)
    before = len(counting.connections())
    for n in range(200):
        watch.add(f"news-{n}")
    watch.wait(0)
    assert len(counting.connections()) <= before


def test_greenlets_publish_and_read_in_one_thread(url: str, prefix: str) -> None:
    turns = turns_of_greenlets(f"{url}?table_prefix={prefix}")
    # SQLite has no socket to wait for: a greenlet that writes gives nobody a turn by itself.
    assert url.startswith("sqlite") or turns >= 2 * GREENLETS, "publishing held up the other greenlets"


def test_other_greenlets_go_on_while_a_watch_waits(url: str, prefix: str) -> None:
    found = monkey_patched(f"{_PACKAGE}.greenlets", f"{url}?table_prefix={prefix}")
    assert found["silence"] == []
    assert found["ticks"] > 20, "the wait held up the other greenlets"
    assert found["woken"] == ["news"]
    assert Counter(found["log"]) == Counter(f"{who} {n}" for who in range(5) for n in range(20))
