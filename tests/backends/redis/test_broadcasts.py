"""Events for many streams: one script appends to a hundred of them, and bells ring as for each by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Final

import pytest

from streamy_backends.redis.broker import RedisBroker
from streamy_backends.redis.watch import RedisWatch
from streamy_core import ConfigError
from streamy_core.broker import PartlyUnavailable
from streamy_core.testing.reading import (
    DEADLINE,
    data_of,
    events,
    eventually,
    read,
    read_all,
    wait_for_bell,
)

from ..conftest import NewBroker
from .conftest import ALL_KINDS, OwnServer
from .servers import Server

pytestmark = pytest.mark.slow

NAMES: Final = [f"s{n}" for n in range(250)]
MAY_ALL: Final = ("reset", "on", ">secret", "~*", "&*", "+@all")


@pytest.fixture(params=ALL_KINDS)
def server(request: pytest.FixtureRequest, own_server: OwnServer) -> Server:
    return own_server(kind=request.param).start()


@pytest.fixture
def broker(server: Server, new_broker: NewBroker) -> RedisBroker:
    """Of a user `app`, who may do everything."""
    server.client.execute_command("ACL", "SETUSER", "app", *MAY_ALL)
    broker = new_broker(server.url.replace("//", "//app:secret@"))
    assert isinstance(broker, RedisBroker)
    broker.append_to_many(dict.fromkeys(NAMES, events("before")))
    return broker


@pytest.fixture
def watch(broker: RedisBroker) -> Iterator[RedisWatch]:
    """Watches "s7", and has been told that it does."""
    with closing(broker.watch()) as watch:
        assert isinstance(watch, RedisWatch)
        watch.add("s7")
        wait_for_bell(watch, "s7")
        assert watch.brought("s7", "") is None, "what came before it was heard is to be read"
        read(broker, "s7")  # which says what its bells are signed with
        yield watch


def test_a_script_appends_to_a_hundred_streams(broker: RedisBroker, server: Server) -> None:
    server.client.config_resetstat()
    stored = broker.append_to_many(dict.fromkeys(NAMES, events("a", "b")))
    assert server.client.info("commandstats")["cmdstat_evalsha"]["calls"] == 3
    assert {name: [entry.id for entry in read_all(broker, name)][1:] for name in NAMES} == stored


def test_its_bell_brings_the_entries_to_who_listens(broker: RedisBroker, watch: RedisWatch) -> None:
    (start,) = [entry.id for entry in read_all(broker, "s7")]
    stored = broker.append_to_many(dict.fromkeys(NAMES, events("a")))
    wait_for_bell(watch, "s7")
    page = watch.brought("s7", start)
    assert page is not None, "it has to be read"
    assert [entry.id for entry in page.entries] == stored["s7"]


def test_who_may_not_ask_who_listens_is_heard_as_well(
    broker: RedisBroker, server: Server, watch: RedisWatch
) -> None:
    server.client.execute_command("ACL", "SETUSER", "app", "-pubsub")
    assert len(broker.append_to_many(dict.fromkeys(NAMES, events("a")))) == len(NAMES)
    wait_for_bell(watch, "s7")


def test_who_may_not_ring_stores_nothing(broker: RedisBroker, server: Server, watch: RedisWatch) -> None:
    server.client.execute_command("ACL", "SETUSER", "app", "resetchannels")
    for _ in range(2):
        with pytest.raises(ConfigError, match="needs more rights"):
            broker.append_to_many(dict.fromkeys(NAMES, events("a")), idempotency_key="k")
    server.client.execute_command("ACL", "SETUSER", "app", "&*")
    broker.append_to_many(dict.fromkeys(NAMES, events("a")), idempotency_key="k")
    for name in NAMES:
        assert data_of(read_all(broker, name)) == ["before", "a"]


def test_a_stream_that_fails_keeps_it_from_no_other(broker: RedisBroker, server: Server, prefix: str) -> None:
    beyond = "9" * 20  # more milliseconds than the server knows
    spoilt = f"E 1 abc 0 000 0 - 0123456789abcdef 0 {beyond} 0"
    server.client.set(f"{prefix}:{{s3}}:state", spoilt)
    with pytest.raises(PartlyUnavailable) as failure:
        broker.append_to_many(dict.fromkeys(NAMES, events("a")))
    assert set(failure.value.stored) == {*NAMES} - {"s3"}
    for name in failure.value.stored:
        assert data_of(read_all(broker, name)) == ["before", "a"]


def test_a_replica_s_listeners_find_it_when_the_bell_rings(
    broker: RedisBroker, server: Server, own_server: OwnServer, prefix: str, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["server"]
    replica = own_server(f"replicaof 127.0.0.1 {server.port}", kind=kind).start()
    link = "a replica in step"
    eventually(lambda: replica.client.info("replication").get("master_link_status") == "up", link)
    with closing(replica.client.pubsub()) as listening:
        listening.subscribe(f"{prefix}:{{s7}}:bell")
        assert listening.get_message(timeout=DEADLINE)["type"] == "subscribe"
        broker.append_to_many(dict.fromkeys(NAMES, events("a")))
        assert listening.get_message(timeout=DEADLINE) is not None, "no bell has rung at the replica"
        assert replica.client.xlen(f"{prefix}:{{s7}}:log") == 2
