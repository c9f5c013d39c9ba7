"""Connections: few, shared among threads and greenlets, and closed in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final

import pytest

from streamy_backends.redis import from_url
from streamy_backends.redis.broker import RedisBroker
from streamy_core import BrokerUnavailable, Closed
from streamy_core.testing.reading import (
    DEADLINE,
    data_of,
    events,
    eventually,
    finish,
    in_a_thread,
    read,
    read_all,
)

from ..conftest import NewBroker
from ..promises.greenlets import GREENLETS, turns_of_greenlets
from .conftest import EACH, KINDS, THREADS, connections, descriptors, listening, on, publish_at_once
from .servers import Server

pytestmark = pytest.mark.slow

MOST: Final = 3

CALLS: Final[tuple[Callable[[RedisBroker], object], ...]] = (
    lambda broker: broker.append("news", events("a")),
    lambda broker: broker.tail(["news"]),
    lambda broker: read(broker, "news"),
    lambda broker: list(broker.streams()),
    lambda broker: broker.time(),
)


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, shared: Callable[[str], Any]) -> Server:
    found: Server = shared(request.param)
    return found


def test_threads_share_few_connections(server: Server, new_broker: NewBroker, prefix: str) -> None:
    broker = new_broker(server.url, max_connections=MOST, client_name=prefix)
    broker.append("news", events("0 begins"))
    broker.watch().add("news")
    publish_at_once(lambda who, n: broker.append("news", events(f"{who} {n}")))
    seen = data_of(read_all(broker, "news"))[1:]
    assert Counter(seen) == Counter(f"{who} {n}" for who in range(THREADS) for n in range(EACH))
    assert len(connections(server, prefix)) <= MOST + 1


def test_threads_share_few_connections_when_they_begin_streams_too(
    server: Server, new_broker: NewBroker, prefix: str
) -> None:
    broker = new_broker(server.url, max_connections=MOST, client_name=prefix)
    publish_at_once(lambda who, n: broker.append(f"news {who} {n}", events("a")))
    assert len(connections(server, prefix)) <= MOST


def test_threads_share_few_connections_when_they_ask_for_what_is_not_there(
    server: Server, new_broker: NewBroker, prefix: str
) -> None:
    broker = new_broker(server.url, max_connections=MOST, client_name=prefix)
    publish_at_once(lambda who, n: (broker.tail(["nobody"]), read(broker, "nobody")))
    assert len(connections(server, prefix)) <= MOST


def test_many_watched_streams_take_one_connection(server: Server, new_broker: NewBroker, prefix: str) -> None:
    broker = new_broker(server.url, client_name=prefix)
    watch = broker.watch()
    for n in range(200):
        watch.add(f"news-{n}")
    eventually(lambda: listening(server, prefix) == [200], "200 streams watched by one connection")


@on("valkey", "cluster")
def test_greenlets_publish_and_read_in_one_thread(server: Any, prefix: str) -> None:
    turns = turns_of_greenlets(f"{server.url}?prefix={prefix}")
    assert turns >= 2 * GREENLETS, "publishing held up the other greenlets"


def primaries(server: Any) -> list[Server]:
    """Those that hold keys."""
    return getattr(server, "nodes", None) or [getattr(server, "primary", server)]


@on("redis", "cluster")
def test_whoever_calls_while_the_broker_is_closed_is_told_so(
    server: Any, new_broker: NewBroker, prefix: str
) -> None:
    def call_until_closed(call: Callable[[], object]) -> None:
        with suppress(Closed):
            while True:
                with suppress(BrokerUnavailable):
                    call()

    for _ in range(50):
        broker = new_broker(server.url, prefix=prefix)
        outcomes = [in_a_thread(partial(call_until_closed, partial(call, broker))) for call in CALLS]
        broker.close()
        for outcome in outcomes:
            finish(outcome, "the end of a call after the broker was closed")


@on("redis", "valkey", "sentinel", "cluster", "old cluster")
def test_a_closed_broker_leaves_nothing_open(
    server: Any, new_broker: NewBroker, prefix: str, count_before: Callable[[], int]
) -> None:
    before = count_before()
    broker = new_broker(server.url, client_name=prefix)
    publish_at_once(lambda who, n: broker.append(f"news-{who}", events("a")))
    for _ in range(2):
        broker.watch().add("news")
    assert descriptors() > before + 4
    broker.close()
    assert descriptors() <= before
    eventually(lambda: not any(connections(one, prefix) for one in primaries(server)), "its connections gone")


@on("redis", "valkey", "cluster")
def test_a_watch_that_is_closed_while_it_is_waited_on_leaves_nothing_open(
    server: Any, new_broker: NewBroker, prefix: str, count_before: Callable[[], int]
) -> None:
    broker = new_broker(server.url, client_name=prefix)
    broker.append("news", events("a"))
    before = count_before()
    watches = [broker.watch() for _ in range(20)]
    with ThreadPoolExecutor(len(watches)) as pool:
        waiting = [pool.submit(watch.wait, None) for watch in watches]
        for watch in watches:
            watch.close()
        for one in waiting:
            one.exception(DEADLINE)
    assert descriptors() <= before


def test_a_broker_that_was_refused_leaves_nothing_open(
    shared: Callable[[str], Any], prefix: str, count_before: Callable[[], int]
) -> None:
    server = shared("old cluster").nodes[0]
    before = count_before()
    with pytest.raises(Exception, match="is a node of a cluster"):
        from_url(server.url, {"client_name": prefix})
    assert descriptors() <= before
    eventually(lambda: not connections(server, prefix), "its connections gone")


def test_a_closed_watch_leaves_nothing_open(
    server: Server, new_broker: NewBroker, prefix: str, count_before: Callable[[], int]
) -> None:
    broker = new_broker(server.url, client_name=prefix)
    broker.append("news", events("a"))
    before, known = count_before(), len(connections(server, prefix))
    for _ in range(3):
        watch = broker.watch()
        watch.add("news")
        watch.close()
    assert descriptors() <= before
    eventually(lambda: len(connections(server, prefix)) == known, "the watches' connections gone")
