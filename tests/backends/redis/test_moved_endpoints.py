"""Endpoints that lead to another server while connections to the old one, a replica by now, stay up."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final

import pytest
import redis

from streamy_core import BrokerUnavailable, PublishFailed
from streamy_core.strategies import FixedDelay, NoRetry
from streamy_core.testing.reading import events, eventually

from ...support.proxy import Proxy
from ..conftest import NewBroker, NewManager
from ..promises.moving import MovingPromises, heard, publish_until_it_works, texts
from .conftest import ALL_KINDS, OwnServer
from .servers import Server, free_port

pytestmark = pytest.mark.slow


class Pair:
    """`old` takes writes until `demote`; `new` does always. Clients come by `endpoint`, to `old` at first."""

    def __init__(self, old: Server, new: Server, endpoint: Proxy) -> None:
        self.old, self.new, self.endpoint = old, new, endpoint
        self.url = endpoint.through(old.url)
        self.new_url = new.url

    def demote(self, *, follows: bool = False) -> None:
        """Have `old` take no writes any more: connections stay up. follows: it is a replica of `new`."""
        self.old.client.replicaof("127.0.0.1", self.new.port if follows else free_port())

    def promote(self) -> None:
        self.old.client.replicaof("NO", "ONE")

    def move(self) -> None:
        """Have the endpoint lead to `new` from now on; connections to `old` stay up."""
        self.endpoint.lead_to(("127.0.0.1", self.new.port))


@pytest.fixture(params=ALL_KINDS)
def pair(request: pytest.FixtureRequest, own_server: OwnServer, new_broker: NewBroker) -> Iterator[Pair]:
    old = own_server(kind=request.param).start()
    new_broker(old.url).append("news", events("before"))
    new = own_server(f"replicaof 127.0.0.1 {old.port}", kind=request.param).start()
    eventually(lambda: new.client.info("replication")["master_link_status"] == "up", "a replica in step")
    new.client.replicaof("NO", "ONE")
    with Proxy(("127.0.0.1", old.port)) as endpoint:
        yield Pair(old, new, endpoint)


READ_ONLY: Final = "READONLY|ReadOnlyError"

follows_or_not = pytest.mark.parametrize("follows", [True, False], ids=["follows the new", "is cut off"])


class TestMoving(MovingPromises):
    pass


@follows_or_not
@pytest.mark.parametrize("shares", [False, True], ids=["own connections", "a shared client"])
def test_publishing_works_at_once_after_the_endpoint_has_moved_to_a_server_that_takes_writes(
    pair: Pair, new_manager: NewManager, follows: bool, shares: bool
) -> None:
    own: dict[str, Any] = {"client": redis.Redis(port=pair.endpoint.port)} if shares else {}
    sse = new_manager(pair.url, retry=NoRetry(), **own)
    sse.send_event("news", "a")
    pair.demote(follows=follows)
    with pytest.raises(PublishFailed, match=READ_ONLY):
        sse.send_event("news", "refused")
    pair.move()
    publish_until_it_works(sse, "b")
    assert texts(new_manager(pair.new_url)) == ["before", "b"]


@follows_or_not
def test_a_process_that_only_reads_hears_of_the_new_server(
    pair: Pair, new_manager: NewManager, follows: bool
) -> None:
    sse, writer = new_manager(pair.url, retry=FixedDelay(0.05, retries=400)), new_manager(pair.new_url)
    with sse.subscribe("news") as subscription:
        eventually(lambda: sse.health.streams == 1, "a stream that is watched")
        pair.demote(follows=follows)
        pair.move()
        writer.send_event("news", "a")
        heard(subscription, "a")
        writer.send_event("news", "b")
        heard(subscription, "b")
        assert not sse.health.failing


def test_a_process_that_only_reads_hears_of_the_new_server_however_late_the_endpoint_moves(
    pair: Pair, new_manager: NewManager, caplog: pytest.LogCaptureFixture
) -> None:
    sse, writer = new_manager(pair.url), new_manager(pair.new_url)
    with caplog.at_level(logging.INFO, logger="streamy.redis"), sse.subscribe("news") as subscription:
        eventually(lambda: sse.health.streams == 1, "a stream that is watched")
        pair.demote(follows=False)
        eventually(lambda: "takes no writes" in caplog.text, "that it was noticed")
        assert not sse.health.failing
        pair.move()
        writer.send_event("news", "a")
        heard(subscription, "a")
    assert caplog.text.count("takes no writes") == 1


def test_a_replica_can_be_read_from(pair: Pair, new_manager: NewManager) -> None:
    pair.demote(follows=True)
    sse, writer = new_manager(pair.old.url), new_manager(pair.new_url)
    with sse.subscribe("news") as subscription:
        eventually(lambda: sse.health.streams == 1, "a stream that is watched")
        writer.send_event("news", "a")
        heard(subscription, "a")
        with pytest.raises(BrokerUnavailable, match=READ_ONLY):
            sse.broker.append("news", events("refused"))
