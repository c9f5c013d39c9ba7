"""Streams are listed by name, on every kind of server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streamy_core.broker import Broker, ListsStreams, StreamInfo
from streamy_core.testing.contract import AWKWARD_NAMES
from streamy_core.testing.reading import events

from ..conftest import NewBroker
from .conftest import listed
from .servers import Cluster

pytestmark = pytest.mark.slow


@pytest.fixture(params=["redis", "valkey", "sentinel", "cluster", "old cluster"])
def anywhere(
    request: pytest.FixtureRequest, shared: Callable[[str], Any], new_broker: NewBroker
) -> Iterator[Broker]:
    """A broker on every kind of server."""
    return new_broker(shared(request.param).url)


def test_all_streams_are_listed_by_name_ended_ones_too(anywhere: Broker) -> None:
    last = {name: anywhere.append(name, events("a", "b"))[-1] for name in ("c", "a", "b")}
    for n in range(20):
        last[f"n{n:02}"] = anywhere.append(f"n{n:02}", events("a", "b"))[-1]
    anywhere.end("b")
    anywhere.end("never begun")
    assert isinstance(anywhere, ListsStreams)
    found = list(anywhere.streams())
    never = next(info for info in found if info.stream_id == "never begun")
    assert (never.entries, never.ended) == (0, True)
    assert [info for info in found if info is not never] == [
        StreamInfo(name, 2, last[name], ended=name == "b") for name in sorted(last)
    ]
    assert [info.stream_id for info in found] == sorted([*last, "never begun"])


def test_streams_are_listed_by_the_names_they_were_given(anywhere: Broker) -> None:
    for name in AWKWARD_NAMES:
        anywhere.append(name, events("a"))
    assert sorted(listed(anywhere)) == sorted(AWKWARD_NAMES)


def test_a_stream_is_listed_once_whatever_its_idempotency_keys(anywhere: Broker) -> None:
    for name in ("news", "news}:key:", "key:{news"):
        for key in ("}:state", ":state", "{x}:state"):
            anywhere.append(name, events("a"), idempotency_key=key)
    assert isinstance(anywhere, ListsStreams)
    assert [info.stream_id for info in anywhere.streams()] == ["key:{news", "news", "news}:key:"]


def test_a_clusters_streams_are_spread(shared: Callable[[str], Any], new_broker: NewBroker) -> None:
    cluster: Cluster = shared("cluster")
    broker = new_broker(cluster.url)
    before = [node.client.dbsize() for node in cluster.nodes]
    for n in range(30):
        broker.append(f"news-{n}", events("a"))
    assert all(node.client.dbsize() > old for node, old in zip(cluster.nodes, before, strict=True))
    assert len(listed(broker)) == 30
