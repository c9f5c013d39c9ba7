"""Servers that die, replies that are lost, networks that are cut: nothing is lost, and nothing doubled."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from streamy_core import BrokerUnavailable, StreamManager
from streamy_core.broker import Broker
from streamy_core.engine.hub import Health
from streamy_core.strategies import ExponentialBackoff, FixedDelay
from streamy_core.testing.reading import DEADLINE, data_of, events, eventually, read, read_all

from ..crowds.crowd import Crowd
from .conftest import NewBroker, NewManager, program
from .proxy import LossyProxy
from .servers import Server
from .serving import Received, Recorder, Worker

EVENTS: Final = 5_000
KILLED_AT: Final = 2_000
CLIENTS: Final = 20
PUBLISHERS: Final = 4

TIMEOUT: Final = 0.5
"""Of the brokers with a bad network in between, in seconds."""
SLACK: Final = 1.0
"""Seconds by which a busy machine may be late."""


@dataclass
class Outage:
    """What came of publishing numbers while the server was killed and started again.

    acknowledged: number -> the id that `send_event` returned.
    log:          id and number of each entry, in order.
    received:     what each client got.
    connections:  how often each client had to connect.
    """

    acknowledged: dict[int, str] = field(default_factory=dict)
    log: list[tuple[str, int]] = field(default_factory=list)
    received: list[list[Received]] = field(default_factory=list)
    connections: list[int] = field(default_factory=list)
    health_while_away: Health | None = None
    health_in_the_end: Health | None = None


@pytest.fixture(scope="module")
def outage(tmp_path_factory: pytest.TempPathFactory) -> Outage:
    folder = tmp_path_factory.mktemp("outage")
    server = Server(program("valkey"), folder / "server", "appendonly yes", "appendfsync always").start()
    url = f"{server.url}?history=10000"
    retry = ExponentialBackoff(retries=50, first=0.05, ceiling=0.5)
    found, recorder = Outage(), Recorder()
    with ExitStack() as to_close:
        to_close.callback(server.stop)
        worker = Worker(folder / "gunicorn.log", url)
        to_close.callback(lambda: print(worker.log()))
        to_close.callback(worker.stop)
        sse = to_close.enter_context(StreamManager(broker=url, retry=retry))

        def publish(first: int) -> None:
            for number in range(first, EVENTS, PUBLISHERS):
                found.acknowledged[number] = sse.send_event("news", str(number))

        pool = to_close.enter_context(ThreadPoolExecutor(PUBLISHERS))
        crowd = to_close.enter_context(Crowd(worker.address, worker.path("news"), CLIENTS, recorder))
        crowd.run_until_open()
        publishing = [pool.submit(publish, first) for first in range(PUBLISHERS)]
        crowd.run_until(lambda: len(found.acknowledged) >= KILLED_AT, "the first events")
        server.kill()
        crowd.run_until(lambda: worker.health().failing, "a worker that knows")
        found.health_while_away = worker.health()
        server.start()
        crowd.run_until(lambda: not wait(publishing, 0).not_done, "the other events", within=60)
        for publisher in publishing:
            publisher.result()
        entries = read_all(sse.broker, "news")
        found.log = [(entry.id, int(entry.event.data)) for entry in entries]
        crowd.run_until(
            lambda: all(len(recorder.received[source]) >= len(entries) for source in crowd.sources),
            "all events at all clients",
        )
        found.received = [recorder.received[source] for source in crowd.sources]
        found.connections = [source.connections for source in crowd.sources]
        found.health_in_the_end = worker.health()
    return found


def test_every_event_acknowledged_before_or_after_a_kill_is_in_the_log_by_its_id(outage: Outage) -> None:
    assert len(outage.acknowledged) == EVENTS
    assert {(entry_id, number) for number, entry_id in outage.acknowledged.items()} <= set(outage.log)


def test_no_event_published_through_a_kill_is_stored_twice(outage: Outage) -> None:
    numbers = Counter(number for _, number in outage.log)
    assert [number for number, times in numbers.items() if times > 1] == []


def test_events_published_through_a_kill_keep_their_publishers_order(outage: Outage) -> None:
    for publisher in range(PUBLISHERS):
        numbers = [number for _, number in outage.log if number % PUBLISHERS == publisher]
        assert numbers == sorted(numbers)


def test_every_client_gets_the_whole_log_once_and_in_order_through_a_kill(outage: Outage) -> None:
    expected = [Received(entry_id, "message", str(number)) for entry_id, number in outage.log]
    assert [received == expected for received in outage.received] == [True] * CLIENTS


def test_no_client_has_to_reconnect_because_the_server_was_killed(outage: Outage) -> None:
    assert outage.connections == [1] * CLIENTS


def test_health_shows_a_killed_server_and_that_it_is_back(outage: Outage) -> None:
    assert outage.health_while_away is not None
    assert outage.health_in_the_end is not None
    assert outage.health_while_away.failing
    assert not outage.health_in_the_end.failing
    assert outage.health_in_the_end.failures >= outage.health_while_away.failures > 0


@pytest.fixture
def proxy(shared: Callable[[str], Any]) -> Iterator[LossyProxy]:
    with LossyProxy(shared("valkey").port) as proxy:
        yield proxy


@pytest.fixture
def near(shared: Callable[[str], Any], new_broker: NewBroker) -> Broker:
    """A broker with nothing in between."""
    return new_broker(shared("valkey").url)


@pytest.fixture
def far(proxy: LossyProxy, new_broker: NewBroker) -> Broker:
    """A broker beyond the proxy, that has its connections, and whose scripts the server knows."""
    broker = new_broker(proxy.url, timeout=TIMEOUT)
    broker.append("warm-up", events("hello"))
    broker.end("over")
    return broker


@pytest.fixture
def sse(far: Broker) -> Iterator[StreamManager]:
    """A manager beyond the proxy, that tries again for seconds."""
    with StreamManager(broker=far, retry=FixedDelay(0.05, retries=100)) as sse:
        yield sse


torn_or_silent = pytest.mark.parametrize("tears", [True, False], ids=["torn", "silent"])


@torn_or_silent
def test_an_event_whose_reply_was_lost_is_stored_once(
    sse: StreamManager, near: Broker, proxy: LossyProxy, tears: bool
) -> None:
    near.append("news", events("before"))
    proxy.lose_reply(tears=tears)
    entry_id = sse.send_event("news", "a")
    assert proxy.lost == 1
    _, entry = read_all(near, "news")
    assert (entry.id, entry.event.data) == (entry_id, "a")


@torn_or_silent
@pytest.mark.parametrize(
    "number", range(3), ids=["that there is no such stream", "the epoch", "that it is stored"]
)
def test_a_new_streams_first_event_is_stored_once_whichever_reply_was_lost(
    sse: StreamManager, near: Broker, proxy: LossyProxy, number: int, tears: bool
) -> None:
    proxy.lose_reply(number, tears=tears)
    entry_id = sse.send_event("news", "a")
    assert proxy.lost == 1
    (entry,) = read_all(near, "news")
    assert (entry.id, entry.event.data) == (entry_id, "a")


@torn_or_silent
def test_a_batch_whose_reply_was_lost_is_stored_once(
    sse: StreamManager, near: Broker, proxy: LossyProxy, tears: bool
) -> None:
    near.append("news", events("before"))
    proxy.lose_reply(tears=tears)
    ids = sse.send_events("news", ["a", "b", "c"])
    assert proxy.lost == 1
    _, *entries = read_all(near, "news")
    assert [(entry.id, entry.event.data) for entry in entries] == list(zip(ids, "abc", strict=True))


def test_a_stream_whose_ends_reply_was_lost_ends_once(
    sse: StreamManager, near: Broker, proxy: LossyProxy
) -> None:
    (newest,) = near.append("news", events("a"))
    proxy.lose_reply(tears=False)
    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(sse.end_stream, "news")
        eventually(lambda: read(near, "news", newest).ended, "the end")
        first = read(near, "news", newest)
        ending.result()
    assert proxy.lost == 1
    assert read(near, "news", newest) == first


def test_publishing_over_a_cut_network_fails_in_time(far: Broker, proxy: LossyProxy) -> None:
    proxy.freeze()
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        far.append("news", events("a"))
    assert time.monotonic() - began < TIMEOUT + SLACK


def test_reading_over_a_cut_network_fails_in_time(far: Broker, proxy: LossyProxy) -> None:
    proxy.freeze()
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        read(far, "warm-up")
    assert time.monotonic() - began < TIMEOUT + SLACK


def test_a_watch_over_a_cut_network_says_so_in_time(far: Broker, proxy: LossyProxy) -> None:
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
    sse: StreamManager, near: Broker, proxy: LossyProxy
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
    far: Broker, near: Broker, proxy: LossyProxy
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
    _, entry = read_all(near, "news")
    assert (entry.id, entry.event.data) == (entry_id, "a")


def test_a_broker_made_while_its_server_is_away_works_once_it_is_there(
    proxy: LossyProxy, near: Broker, new_manager: NewManager
) -> None:
    proxy.refuse()
    sse = new_manager(proxy.url, timeout=TIMEOUT)
    with pytest.raises(BrokerUnavailable):
        sse.broker.append("news", events("nobody's"))
    proxy.resume()
    sse.send_event("news", "a")
    assert data_of(read_all(near, "news")) == ["a"]
