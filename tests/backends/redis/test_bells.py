"""What bells bring along, and when the log is read instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from streamy_backends.redis.watch import RedisWatch
from streamy_core import Event, StreamManager
from streamy_core.broker import BringsEntries, Broker
from streamy_core.events import Page
from streamy_core.testing.reading import data_of, events, read, read_all, wait_for_bell

from ..conftest import NewBroker

pytestmark = pytest.mark.slow


@pytest.fixture(params=["redis", "cluster"])
def broker(request: pytest.FixtureRequest, shared: Callable[[str], Any], new_broker: NewBroker) -> Broker:
    return new_broker(shared(request.param).url)


@pytest.fixture
def start(broker: Broker) -> str:
    """The cursor in "news" from which the tests go on."""
    return broker.append("news", events("before"))[0]


@pytest.fixture
def watch(broker: Broker, start: str) -> Iterator[RedisWatch]:
    """Watches "news", and has been told that it does."""
    watch = broker.watch()
    assert isinstance(watch, RedisWatch)
    watch.add("news")
    wait_for_bell(watch, "news")
    assert watch.brought("news", start) is None, "what came before it was heard is to be read"
    read(broker, "news", start)  # which says what its bells are signed with
    yield watch
    watch.close()


def brought(watch: RedisWatch, cursor: str, *data: str) -> list[str]:
    """What the bells bring for this cursor, when they have brought all of this data."""
    found: list[str] = []
    while found != list(data):
        wait_for_bell(watch, "news")
        page = watch.brought("news", cursor)
        assert page is not None, "it has to be read"
        found += data_of(page.entries)
        cursor = page.cursor
    return found


def test_a_redis_watch_says_that_it_brings_entries(watch: RedisWatch) -> None:
    assert isinstance(watch, BringsEntries)


def test_a_bell_brings_what_has_been_appended(broker: Broker, watch: RedisWatch, start: str) -> None:
    event = Event("a\nb ä🎈", "näme", 7)
    ids = broker.append("news", [event])
    wait_for_bell(watch, "news")
    assert watch.brought("news", start) == Page((read(broker, "news", start).entries[0],), ids[0])


def test_what_several_bells_bring_is_joined(broker: Broker, watch: RedisWatch, start: str) -> None:
    broker.append("news", events("a"))
    broker.append("news", events("b", "c"))
    assert brought(watch, start, "a", "b", "c")


def test_what_is_brought_is_given_once(broker: Broker, watch: RedisWatch, start: str) -> None:
    broker.append("news", events("a"))
    brought(watch, start, "a")
    assert watch.brought("news", start) is None


def test_who_has_read_it_already_is_told_that_nothing_is_left(broker: Broker, watch: RedisWatch) -> None:
    (last,) = broker.append("news", events("a"))
    wait_for_bell(watch, "news")
    assert watch.brought("news", last) == Page((), last)


@pytest.mark.parametrize("cursor", ["", "elsewhere", "EPOCH.1.abc"])
def test_who_is_elsewhere_has_to_read(broker: Broker, watch: RedisWatch, cursor: str) -> None:
    broker.append("news", events("a"))
    wait_for_bell(watch, "news")
    assert watch.brought("news", cursor) is None


def test_what_is_large_is_left_to_be_read(broker: Broker, watch: RedisWatch, start: str) -> None:
    broker.append("news", events("x" * 10_000))
    wait_for_bell(watch, "news")
    assert watch.brought("news", start) is None


def test_an_end_is_left_to_be_read(broker: Broker, watch: RedisWatch, start: str) -> None:
    broker.append("news", events("a"))
    broker.end("news")
    wait_for_bell(watch, "news")
    page = watch.brought("news", start)
    while page is not None:  # the end's own bell may come a little later
        wait_for_bell(watch, "news")
        page = watch.brought("news", page.cursor)
    assert read(broker, "news", start).ended


def test_somebody_else_s_words_are_no_entries(
    broker: Broker, watch: RedisWatch, start: str, prefix: str, shared: Callable[[str], Any]
) -> None:
    subscriber = next(iter(watch._probes))
    for words in (b"hello", b"a b c", b"\0\0\0", f"{start.split('.')[0]} 1 {start[-3:]}".encode()):
        watch._note(subscriber, [[b"message", f"{prefix}:{{news}}:bell".encode(), words]])
        assert watch.wait(0) == {"news"}
        assert watch.brought("news", start) is None


def test_a_subscription_needs_no_reading_for_small_events(shared: Callable[[str], Any], prefix: str) -> None:
    server = shared("redis")
    with StreamManager(broker=server.url, broker_options={"prefix": prefix}) as sse:
        sse.send_event("news", "before")
        with sse.subscribe("news") as subscription:
            sse.send_event("news", "first")
            assert next(subscription).event.data == "first"
            before = _runs(server)
            for n in range(50):
                sse.send_event("news", str(n))
                assert next(subscription).event.data == str(n)
            # An append each; the first look at a stream may fall into this time.
            assert 50 <= _runs(server) - before <= 52


def test_small_and_large_events_of_many_publishers_come_in_the_order_of_the_log(
    shared: Callable[[str], Any], prefix: str
) -> None:
    sizes = [1, 100, 9_000, 10, 5_000] * 8
    with StreamManager(broker=shared("redis").url, broker_options={"prefix": prefix}) as sse:
        sse.send_event("news", "before")
        with sse.subscribe("news") as subscription, ThreadPoolExecutor(3) as pool:
            sent = [pool.submit(sse.send_event, "news", "x" * size) for size in sizes]
            got = [next(subscription).id for _ in sizes]
            assert sorted(got) == sorted(future.result() for future in sent)
        assert got == [entry.id for entry in read_all(sse.broker, "news")][1:]


def _runs(server: Any) -> int:
    return int(server.client.info("commandstats")["cmdstat_evalsha"]["calls"])
