"""Servers that die, replies that are lost, networks that are cut: nothing is lost, and nothing doubled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Final

import pytest

from streamy_core import BrokerUnavailable, StreamManager
from streamy_core.broker import Broker
from streamy_core.strategies import FixedDelay
from streamy_core.testing.reading import DEADLINE, data_of, events, eventually, read, read_all

from ...support.proxy import Proxy
from ..conftest import NewBroker, NewManager
from ..promises.outages import Outage, OutagePromises, kill_a_server
from .conftest import program
from .servers import Server

pytestmark = pytest.mark.slow

TIMEOUT: Final = 0.5
"""Of the brokers with a bad network in between, in seconds."""
SLACK: Final = 1.0
"""Seconds by which a busy machine may be late."""


class TestOutages(OutagePromises):
    EVENTS = 5_000

    @pytest.fixture(scope="class")
    @classmethod
    def outage(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outage]:
        folder = tmp_path_factory.mktemp("outage")
        server = Server(program("valkey"), folder / "server", "appendonly yes", "appendfsync always").start()
        yield kill_a_server(server, folder, cls.EVENTS)
        server.stop()


@pytest.fixture
def proxy(shared: Callable[[str], Any]) -> Iterator[Proxy]:
    with Proxy(("127.0.0.1", shared("valkey").port)) as proxy:
        yield proxy


@pytest.fixture
def near(shared: Callable[[str], Any], new_broker: NewBroker) -> Broker:
    """A broker with nothing in between."""
    return new_broker(shared("valkey").url)


@pytest.fixture
def far(proxy: Proxy, server: Server, new_broker: NewBroker) -> Broker:
    """A broker beyond the proxy, that has its connections, and whose scripts the server knows."""
    broker = new_broker(proxy.through(server.url), timeout=TIMEOUT)
    broker.append("warm-up", events("hello"))
    broker.end("over")
    return broker


@pytest.fixture
def sse(far: Broker) -> Iterator[StreamManager]:
    """A manager beyond the proxy, that tries again for seconds."""
    with StreamManager(broker=far, retry=FixedDelay(0.05, retries=100)) as sse:
        yield sse


def stored(broker: Broker) -> list[tuple[str, str]]:
    """Id and data of each entry."""
    return [(entry.id, entry.event.data) for entry in read_all(broker, "news")]


torn_or_silent = pytest.mark.parametrize("tears", [True, False], ids=["torn", "silent"])


@torn_or_silent
@pytest.mark.parametrize("texts", ["a", "abc"], ids=["an event", "a batch"])
def test_what_is_published_is_stored_once_though_the_reply_was_lost(
    sse: StreamManager, near: Broker, proxy: Proxy, texts: str, tears: bool
) -> None:
    near.append("news", events("before"))
    proxy.lose_reply(tears=tears)
    ids = [sse.send_event("news", texts)] if len(texts) == 1 else sse.send_events("news", list(texts))
    assert proxy.lost == 1
    assert stored(near)[1:] == list(zip(ids, texts, strict=True))


@torn_or_silent
@pytest.mark.parametrize(
    "number", range(3), ids=["that there is no such stream", "the epoch", "that it is stored"]
)
def test_a_new_streams_first_event_is_stored_once_whichever_reply_was_lost(
    sse: StreamManager, near: Broker, proxy: Proxy, number: int, tears: bool
) -> None:
    proxy.lose_reply(number, tears=tears)
    entry_id = sse.send_event("news", "a")
    assert proxy.lost == 1
    assert stored(near) == [(entry_id, "a")]


def test_a_stream_whose_ends_reply_was_lost_ends_once(sse: StreamManager, near: Broker, proxy: Proxy) -> None:
    (newest,) = near.append("news", events("a"))
    proxy.lose_reply(tears=False)
    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(sse.end_stream, "news")
        eventually(lambda: read(near, "news", newest).ended, "the end")
        first = read(near, "news", newest)
        ending.result()
    assert proxy.lost == 1
    assert read(near, "news", newest) == first


def test_publishing_over_a_cut_network_fails_in_time(far: Broker, proxy: Proxy) -> None:
    proxy.freeze()
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        far.append("news", events("a"))
    assert time.monotonic() - began < TIMEOUT + SLACK


def test_reading_over_a_cut_network_fails_in_time(far: Broker, proxy: Proxy) -> None:
    proxy.freeze()
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        read(far, "warm-up")
    assert time.monotonic() - began < TIMEOUT + SLACK


def test_a_watch_over_a_cut_network_says_so_in_time(far: Broker, proxy: Proxy) -> None:
    with closing(far.watch()) as watch:
        watch.add("news")
        watch.wait(DEADLINE)
        proxy.freeze()
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            watch.wait(DEADLINE)
        assert time.monotonic() - began < 2 * TIMEOUT + SLACK


def test_a_watch_over_a_quiet_network_waits_on(far: Broker) -> None:
    with closing(far.watch()) as watch:
        watch.add("news")
        watch.wait(DEADLINE)
        assert not watch.wait(4 * TIMEOUT)


def test_a_subscription_over_a_network_that_was_cut_goes_on_and_misses_nothing(
    sse: StreamManager, near: Broker, proxy: Proxy
) -> None:
    with sse.subscribe("news") as subscription:
        near.append("news", events("a"))
        assert next(subscription).event.data == "a"
        proxy.freeze()
        near.append("news", events("b"))
        eventually(lambda: sse.health.failing, "a failure")
        near.append("news", events("c"))
        proxy.thaw()
        near.append("news", events("d"))
        assert [next(subscription).event.data for _ in range(3)] == ["b", "c", "d"]
        eventually(lambda: not sse.health.failing, "health")


def test_an_event_on_its_way_when_the_network_was_cut_is_stored_once(
    far: Broker, near: Broker, proxy: Proxy
) -> None:
    tried = threading.Event()

    class Noticed(FixedDelay):
        def delay(self, attempt: int) -> float | None:
            tried.set()
            return 0.05

    near.append("news", events("before"))
    with StreamManager(broker=far, retry=Noticed()) as sse, ThreadPoolExecutor(1) as pool:
        proxy.freeze()
        sending = pool.submit(sse.send_event, "news", "a")
        assert tried.wait(DEADLINE)
        proxy.thaw()
        entry_id = sending.result()
    assert stored(near)[1:] == [(entry_id, "a")]


def test_a_broker_made_while_its_server_is_away_works_once_it_is_there(
    proxy: Proxy, server: Server, near: Broker, new_manager: NewManager
) -> None:
    proxy.refuse()
    sse = new_manager(proxy.through(server.url), timeout=TIMEOUT)
    with pytest.raises(BrokerUnavailable):
        sse.broker.append("news", events("nobody's"))
    proxy.resume()
    sse.send_event("news", "a")
    assert data_of(read_all(near, "news")) == ["a"]
