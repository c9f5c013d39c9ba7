"""A primary that dies with events that its replica never got, and a replica that is promoted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

import pytest

from streamy_backends.redis.keys import Keys
from streamy_core import GAP, BrokerUnavailable, Entry, StreamManager, Subscription
from streamy_core.broker import Broker
from streamy_core.strategies import FixedDelay
from streamy_core.testing.reading import DEADLINE, data_of, events, eventually, read, read_all

from ...support.crowd import Crowd, Record
from ..conftest import NewBroker
from ..promises.outages import reading_worker
from .conftest import KINDS, OwnServer, program
from .servers import SentinelGroup, Server

pytestmark = pytest.mark.slow

CLIENTS: Final = 5
KEPT: Final = ["1", "2", "3"]
LOST: Final = ["4", "5", "6", "7", "8"]
NEW: Final = ["9", "10"]

TIMEOUT: Final = 0.5
PERSISTENT: Final = FixedDelay(0.05, retries=400)

Events = list[tuple[str, str]]
"""Name and data of each event."""


@dataclass
class Failover:
    """What came of it.

    sse:          a manager that was there before; still open.
    lost_ids:     of the acknowledged events that the replica never got.
    new_ids:      of those that were published to the promoted replica.
    crowd:        what each HTTP client got.
    subscription: what a subscription got.
    connections:  how often each HTTP client had to connect.
    """

    sse: StreamManager
    lost_ids: list[str] = field(default_factory=list)
    new_ids: list[str] = field(default_factory=list)
    crowd: list[Events] = field(default_factory=list)
    subscription: Events = field(default_factory=list)
    connections: list[int] = field(default_factory=list)


@pytest.fixture(scope="module", params=KINDS)
def failover(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Failover]:
    folder, record = tmp_path_factory.mktemp("failover"), Record()
    with ExitStack() as to_close:
        group = SentinelGroup(program(request.param), folder)
        to_close.callback(group.stop)
        url = f"{group.url}?timeout={TIMEOUT}"
        worker = to_close.enter_context(reading_worker(folder, url))
        to_close.callback(lambda: print(worker.log()))
        sse = to_close.enter_context(StreamManager(broker=url, retry=PERSISTENT))
        found = Failover(sse)
        subscription = to_close.enter_context(sse.subscribe("news"))
        crowd = to_close.enter_context(Crowd(worker.address, worker.path("news"), CLIENTS, record))
        crowd.run_until_open()

        def wait_for(newest: str) -> None:
            """Until everybody has got this."""
            found.subscription += received_up_to(subscription, newest)
            crowd.run_until(
                lambda: all(
                    record.frames[source] and record.frames[source][-1].data == newest
                    for source in crowd.sources
                ),
                f"{newest!r} at all clients",
            )

        sse.send_events("news", KEPT)
        wait_for(KEPT[-1])
        log = Keys("streamy").for_read("news")[1]
        eventually(lambda: group.replica.client.xlen(log) == len(KEPT), "what the replica is to have")
        # Not paused alone: what the system has received for it, it would still read when it goes on.
        group.replica.pause()
        group.primary.client.execute_command("CLIENT", "KILL", "TYPE", "replica")
        found.lost_ids = sse.send_events("news", LOST)
        wait_for(LOST[-1])
        group.primary.kill()
        group.replica.resume()
        found.new_ids = [sse.send_event("news", data) for data in NEW]
        wait_for(NEW[-1])
        found.crowd = [
            [(frame.name, frame.data or "") for frame in record.frames[source]] for source in crowd.sources
        ]
        found.connections = [source.connections for source in crowd.sources]
        yield found


def received_up_to(subscription: Subscription, newest: str) -> Events:
    received: Events = []
    end = time.monotonic() + 3 * DEADLINE
    while not received or received[-1][1] != newest:
        entry: Entry | None = subscription.next(end - time.monotonic())
        assert entry is not None, f"{newest!r} has never come, but {received}"
        received.append((entry.event.name or "message", entry.event.data))
    return received


def parts(received: Events) -> tuple[list[str], list[str]]:
    """What was received before the only gap, and what after it."""
    names = [name for name, _ in received]
    assert names.count(GAP) == 1, f"not one gap in {received}"
    place = names.index(GAP)
    data = [data for _, data in received]
    return data[:place], data[place + 1 :]


def test_what_the_replica_never_got_is_gone_and_the_rest_is_there(failover: Failover) -> None:
    assert data_of(read_all(failover.sse.broker, "news")) == KEPT + NEW


def test_every_client_that_saw_what_no_longer_exists_is_told_once_and_goes_on(failover: Failover) -> None:
    assert [parts(received) for received in failover.crowd] == [(KEPT + LOST, KEPT + NEW)] * CLIENTS


def test_no_client_has_to_reconnect_because_of_a_failover(failover: Failover) -> None:
    assert failover.connections == [1] * CLIENTS


def test_a_subscription_that_saw_what_no_longer_exists_is_told_once_and_goes_on(failover: Failover) -> None:
    assert parts(failover.subscription) == (KEPT + LOST, KEPT + NEW)


def test_a_manager_from_before_a_failover_publishes_to_the_new_primary(failover: Failover) -> None:
    *_, first, second = read_all(failover.sse.broker, "news")
    assert [first.id, second.id] == failover.new_ids


def test_the_places_of_lost_events_are_gaps_though_others_have_their_numbers(failover: Failover) -> None:
    broker = failover.sse.broker
    assert [read(broker, "news", place).gap for place in failover.lost_ids] == [True] * len(LOST)


def test_a_manager_from_before_a_failover_is_healthy_again(failover: Failover) -> None:
    eventually(lambda: not failover.sse.health.failing, "health")
    assert failover.sse.health.failures


@pytest.fixture
def primary(own_server: OwnServer) -> Server:
    return own_server().start()


@pytest.fixture
def replica(primary: Server, own_server: OwnServer) -> Server:
    """In step with the primary."""
    replica = own_server(f"replicaof 127.0.0.1 {primary.port}").start()

    def in_step() -> bool:
        return bool(replica.client.info("replication")["master_link_status"] == "up")

    eventually(in_step, "a replica in step")
    return replica


@pytest.fixture
def demanding(primary: Server, new_broker: NewBroker) -> Broker:
    """A broker that takes an event for published when a replica has it."""
    return new_broker(primary.url, wait_replicas=1, timeout=TIMEOUT)


def test_publishing_fails_and_says_why_when_no_replica_has_the_event(demanding: Broker) -> None:
    with pytest.raises(BrokerUnavailable, match="wait_replicas"):
        demanding.append("news", events("a"))


def test_ending_fails_and_says_why_when_no_replica_has_the_end(demanding: Broker) -> None:
    with pytest.raises(BrokerUnavailable, match="wait_replicas"):
        demanding.end("news")


def test_an_event_that_is_published_is_on_the_replica(
    demanding: Broker, replica: Server, prefix: str
) -> None:
    log = Keys(prefix).for_read("news")[1]
    for number in range(1, 101):
        demanding.append("news", events(str(number)))
        assert replica.client.xlen(log) == number


def test_an_event_waits_for_a_replica_that_stands_still_and_is_stored_once(
    demanding: Broker, replica: Server
) -> None:
    replica.pause()
    with pytest.raises(BrokerUnavailable, match="wait_replicas"):
        demanding.append("news", events("a"), idempotency_key="key")
    with pytest.raises(BrokerUnavailable, match="wait_replicas"):
        demanding.append("news", events("a"), idempotency_key="key")
    replica.resume()
    with StreamManager(broker=demanding, retry=PERSISTENT) as sse:
        entry_id = sse.send_event("news", "a", idempotency_key="key")
    assert [(entry.id, entry.event.data) for entry in read_all(demanding, "news")] == [(entry_id, "a")]
