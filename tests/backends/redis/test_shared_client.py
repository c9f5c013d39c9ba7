"""A client that the app has already is shared with it, and left to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from streamy_core.broker import BrokerUnavailable, ListsStreams
from streamy_core.testing import BrokerContract, FromUrl, MakeBroker
from streamy_core.testing.reading import data_of, events, eventually, read_all, wait_for_bell

from ..conftest import NewBroker
from .conftest import EACH, THREADS, MakeClient, connections, descriptors, listening, publish_at_once
from .drivers import from_url

pytestmark = pytest.mark.slow

CLIENTS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "as it is": ("valkey", {}),
    "RESP2 decoding": ("valkey", {"protocol": 2, "decode_responses": True}),
    "RESP3 decoding": ("redis", {"protocol": 3, "decode_responses": True}),
    "RESP3 of a cluster": ("cluster", {"protocol": 3}),
    "of an old cluster, decoding": ("old cluster", {"decode_responses": True}),
}
"""Each two of where, which protocol, and whether texts are decoded. RESP2 that isn't is the broker's own."""


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, make_client: MakeClient) -> Any:
    kind, settings = CLIENTS[request.param]
    return make_client(kind, **settings)


class TestSharedClient(BrokerContract):
    """Over a client that the app has, too."""

    @pytest.fixture
    def make_broker(self, client: Any, prefix: str) -> MakeBroker:
        return lambda log="log", *, history=10_000: from_url(
            "redis://", {"client": client, "prefix": f"{prefix}-{log}", "history": history}
        )

    @pytest.fixture
    def make_elsewhere(self, request: pytest.FixtureRequest, shared: Any, prefix: str) -> MakeBroker:
        """Other processes have clients of their own."""
        kind, _ = CLIENTS[request.node.callspec.params["client"]]
        return FromUrl(shared(kind).url, from_url, prefix=f"{prefix}-{{log}}")


def test_a_shared_client_goes_on_when_the_broker_is_closed(
    client: Any, new_broker: NewBroker, prefix: str
) -> None:
    broker = new_broker("redis://", client=client)
    broker.watch().add("news")
    broker.append("news", events("a"))
    broker.close()
    assert client.set(f"{prefix}:mine", "1", px=60_000)
    assert client.get(f"{prefix}:mine") in ("1", b"1")


def test_a_shared_clients_connections_are_given_back(make_client: MakeClient, new_broker: NewBroker) -> None:
    client = make_client("valkey", max_connections=2)
    broker = new_broker("redis://", client=client)
    watch = broker.watch()
    for n in range(20):
        name = f"news-{n}"
        watch.add(name)
        broker.tail([name])
        broker.append(name, events("a"))
        assert data_of(read_all(broker, name)) == ["a"]
        broker.end(name)
        assert isinstance(broker, ListsStreams)
        assert len(list(broker.streams())) == n + 1
        assert client.ping()
    wait_for_bell(watch, "news-0", "news-19")


def test_a_shared_clients_connections_are_given_back_after_a_fault(
    make_client: MakeClient, new_broker: NewBroker
) -> None:
    client = make_client("valkey", max_connections=1)
    broker = new_broker("redis://", client=client)
    client.config_set("min-replicas-to-write", 1)
    try:
        for _ in range(5):
            with pytest.raises(BrokerUnavailable):
                broker.append("news", events("a"))
    finally:
        client.config_set("min-replicas-to-write", 0)
    assert len(broker.append("other", events("a"))) == 1
    assert client.ping()


def test_threads_wait_for_a_shared_clients_connections(
    make_client: MakeClient, new_broker: NewBroker
) -> None:
    client = make_client("valkey", max_connections=2)
    broker = new_broker("redis://", client=client, max_connections=2)
    publish_at_once(lambda who, n: broker.append(f"news-{who}", events(str(n))))
    assert [data_of(read_all(broker, f"news-{who}")) for who in range(THREADS)] == [
        [str(n) for n in range(EACH)]
    ] * THREADS


def test_a_broker_that_shares_a_client_closes_only_its_watches(
    make_client: MakeClient,
    new_broker: NewBroker,
    shared: Callable[[str], Any],
    prefix: str,
    count_before: Callable[[], int],
) -> None:
    server = shared("valkey")
    client = make_client("valkey", client_name=prefix)
    client.ping()
    before = count_before()
    broker = new_broker("redis://", client=client)
    broker.append("news", events("a"))
    broker.watch().add("news")
    eventually(lambda: len(listening(server, prefix)) == 1, "a bell's connection")
    broker.close()
    eventually(lambda: not listening(server, prefix), "the bell's connection gone")
    assert len(connections(server, prefix)) >= 1
    assert descriptors() <= before + 1
