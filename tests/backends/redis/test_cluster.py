"""A cluster whose slots and nodes come and go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from redis.crc import key_slot

from streamy_core import BrokerUnavailable, PublishFailed, StreamManager
from streamy_core.broker import Broker
from streamy_core.strategies.retry import FixedDelay
from streamy_core.testing.reading import data_of, events, eventually, read, read_all

from ..conftest import NewBroker
from .conftest import program
from .servers import Cluster, Server, node_id

pytestmark = pytest.mark.slow


@pytest.fixture(params=["valkey", "redis"])
def cluster(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Cluster]:
    """One that nobody else uses."""
    cluster = Cluster(program(request.param), tmp_path)
    yield cluster
    cluster.stop()


@pytest.fixture
def broker(cluster: Cluster, new_broker: NewBroker) -> Broker:
    return new_broker(cluster.url, timeout=2)


def owner(cluster: Cluster, slot: int) -> Server:
    return cluster.nodes[slot * 3 // 16_384]


class Move:
    """A stream's slot on its way from one node to another."""

    def __init__(self, cluster: Cluster, prefix: str, stream_id: str) -> None:
        self._base = f"{prefix}:{{{stream_id}}}"
        self._slot = key_slot(self._base.encode())
        self.source = owner(cluster, self._slot)
        self.target = next(node for node in cluster.nodes if node is not self.source)
        self._all = cluster.nodes
        self._set(self.target, "IMPORTING", node_id(self.source))
        self._set(self.source, "MIGRATING", node_id(self.target))

    def move_keys(self) -> None:
        while keys := self.source.client.execute_command("CLUSTER", "GETKEYSINSLOT", self._slot, 100):
            self.source.client.execute_command(
                "MIGRATE", "127.0.0.1", self.target.port, "", 0, 5_000, "KEYS", *keys
            )

    def finish(self) -> None:
        for node in (self.target, self.source, *self._all):
            self._set(node, "NODE", node_id(self.target))

    def _set(self, node: Server, *how: str) -> None:
        node.client.execute_command("CLUSTER", "SETSLOT", self._slot, *how)


def test_a_stream_whose_slot_is_moving_is_written_when_it_has_moved(
    cluster: Cluster, broker: Broker, prefix: str
) -> None:
    with StreamManager(broker=broker, retry=FixedDelay(0.05, 200)) as sse, ThreadPoolExecutor(1) as pool:
        sse.send_event("news", "a")
        move = Move(cluster, prefix, "news")
        move.move_keys()
        with pytest.raises(BrokerUnavailable):
            broker.append("news", events("nobody's"))
        sending = pool.submit(sse.send_event, "news", "b")
        move.finish()
        sending.result()
        assert data_of(read_all(broker, "news")) == ["a", "b"]


def test_a_stream_whose_slot_has_moved_is_written_and_read_by_the_retry_policy(
    cluster: Cluster, broker: Broker, prefix: str
) -> None:
    with StreamManager(broker=broker, retry=FixedDelay(0.05, 20)) as sse:
        sse.send_event("news", "a")
        move = Move(cluster, prefix, "news")
        move.move_keys()
        move.finish()
        sse.send_event("news", "b")
        assert data_of(read_all(broker, "news")) == ["a", "b"]


def test_a_subscription_goes_on_when_its_slot_moves(cluster: Cluster, broker: Broker, prefix: str) -> None:
    with StreamManager(broker=broker, retry=FixedDelay(0.05, 20)) as sse:
        sse.send_event("news", "a")
        with sse.subscribe("news") as subscription:
            sse.send_event("news", "b")
            assert next(subscription).event.data == "b"
            move = Move(cluster, prefix, "news")
            move.move_keys()
            move.finish()
            sse.send_event("news", "c")
            assert next(subscription).event.data == "c"


def test_subscriptions_go_on_when_a_node_is_killed_and_comes_back(tmp_path: Any, prefix: str) -> None:
    cluster = Cluster(program("valkey"), tmp_path, "appendonly yes", "appendfsync always")
    names = [f"stream-{n}" for n in range(9)]
    options = {"prefix": prefix, "timeout": 1}
    try:
        with StreamManager(
            broker=cluster.url, broker_options=options, retry=FixedDelay(0.1, 100)
        ) as sse, sse.subscribe(names) as subscription:  # fmt: skip
            for name in names:
                sse.send_event(name, "before")
            assert {next(subscription).stream_id for _ in names} == set(names)
            cluster.nodes[1].kill()
            cluster.nodes[1].start()
            for name in names:
                sse.send_event(name, "after")
            assert {next(subscription).stream_id for _ in names} == set(names)
            eventually(lambda: not sse.health.failing, "health")
    finally:
        cluster.stop()


@pytest.fixture
def partial_cluster(tmp_path: Any) -> Iterator[Cluster]:
    """One that goes on when a node is away."""
    cluster = Cluster(program("valkey"), tmp_path, "cluster-require-full-coverage no")
    yield cluster
    cluster.stop()


def name_at(cluster: Cluster, node: Server, prefix: str) -> str:
    """A stream that this node holds."""
    names = (f"stream-{n}" for n in range(1_000))
    return next(name for name in names if owner_of(cluster, name, prefix) is node)


def owner_of(cluster: Cluster, stream_id: str, prefix: str) -> Server:
    """The node that holds the stream."""
    return owner(cluster, key_slot(f"{prefix}:{{{stream_id}}}".encode()))


@pytest.mark.parametrize("away", range(3))
def test_a_process_that_starts_while_a_node_is_away_is_kept_from_no_other(
    partial_cluster: Cluster, prefix: str, away: int
) -> None:
    url, lost = partial_cluster.url, partial_cluster.nodes[away]
    names = [name_at(partial_cluster, node, prefix) for node in partial_cluster.nodes if node is not lost]
    options = {"prefix": prefix, "timeout": 1}
    with StreamManager(broker=url, broker_options=options) as sse:
        for name in names:
            sse.send_event(name, "before")
    lost.kill()
    for number in range(3):
        with (
            StreamManager(broker=url, broker_options=options, retry=FixedDelay(0.1, 50)) as sse,
            sse.subscribe(names) as subscription,
        ):
            for name in names:
                sse.send_event(name, str(number))
            assert [next(subscription).event.data for _ in names] == [str(number)] * 2
            assert not sse.health.failing


@pytest.mark.parametrize("away", range(3))
def test_a_broadcast_reaches_all_streams_but_those_of_a_node_that_is_away(
    partial_cluster: Cluster, prefix: str, away: int
) -> None:
    lost = partial_cluster.nodes[away]
    names = [f"s{n}" for n in range(60)]
    gone = {name for name in names if owner_of(partial_cluster, name, prefix) is lost}
    options = {"prefix": prefix, "timeout": 1}
    with StreamManager(broker=partial_cluster.url, broker_options=options, retry=FixedDelay(0.1, 2)) as sse:
        sse.broadcast(names, "before")
        lost.kill()
        with pytest.raises(PublishFailed) as failure:
            sse.broadcast(names, "during", idempotency_key="k")
        assert set(failure.value.stored) == set(names) - gone
    lost.start()
    with StreamManager(broker=partial_cluster.url, broker_options=options, retry=FixedDelay(0.1, 99)) as sse:
        ids = sse.broadcast(names, "during", idempotency_key="k")
        assert set(ids) == set(names)
        assert {name: ids[name] for name in failure.value.stored} == failure.value.stored
        for name in set(names) - gone:
            assert data_of(read_all(sse.broker, name)) == ["before", "during"]


def test_a_primary_that_is_lost_to_its_replica_costs_no_event_and_no_subscription(
    tmp_path: Any, prefix: str
) -> None:
    cluster = Cluster(program("valkey"), tmp_path, replicas=True)
    names = [name_at(cluster, node, prefix) for node in cluster.nodes]
    options = {"prefix": prefix, "timeout": 1}
    try:
        with (
            StreamManager(broker=cluster.url, broker_options=options, retry=FixedDelay(0.1, 300)) as sse,
            sse.subscribe(names) as subscription,
        ):
            for name in names:
                sse.send_event(name, "before")
            assert {next(subscription).stream_id for _ in names} == set(names)
            log, replica = f"{prefix}:{{{names[1]}}}:log", cluster.replicas[1].client
            replica.execute_command("READONLY")
            eventually(lambda: bool(replica.xlen(log)), "a replica that has the event")
            cluster.nodes[1].kill()
            for name in names:
                sse.send_event(name, "after")
            found = {(entry.stream_id, entry.event.data) for entry in (next(subscription) for _ in names)}
            assert found == {(name, "after") for name in names}
    finally:
        cluster.stop()


@pytest.mark.parametrize(("kind", "connections"), [("cluster", 3), ("old cluster", 1)])
def test_bells_need_a_connection_to_each_node_or_one_where_they_reach_all(
    kind: str, connections: int, shared: Callable[[str], Any], new_broker: NewBroker
) -> None:
    nodes = shared(kind).nodes
    broker = new_broker(shared(kind).url, client_name="counted")

    def listening() -> int:
        return sum(
            client["name"] == "counted" and (int(client["sub"]) + int(client.get("ssub", 0))) > 0
            for node in nodes
            for client in node.client.client_list()
        )

    with closing(broker.watch()) as watch:
        for n in range(50):
            watch.add(f"stream-{n}")
        eventually(lambda: listening() == connections, f"{connections} connections that listen, and no more")


def test_a_cluster_that_is_away_is_a_passing_fault(new_broker: NewBroker, cluster: Cluster) -> None:
    cluster.stop()
    broker = new_broker(cluster.url, timeout=1)
    calls: list[Callable[[], object]] = [
        lambda: broker.append("news", events("a")),
        lambda: broker.end("news"),
        lambda: broker.tail(["news"]),
        lambda: read(broker, "news"),
        lambda: broker.watch(),
    ]
    for call in calls:
        with pytest.raises(BrokerUnavailable):
            call()


def test_a_cluster_that_goes_away_is_a_passing_fault(broker: Broker, cluster: Cluster) -> None:
    broker.append("news", events("a"))
    cluster.stop()
    for _ in range(3):
        with pytest.raises(BrokerUnavailable):
            broker.append("news", events("b"))
        with pytest.raises(BrokerUnavailable):
            broker.watch()
