"""A server without room for more: what can't be stored fails whole, and everything else goes on."""

from __future__ import annotations

from typing import Any

import pytest

from streamy_core import OLDEST, BrokerUnavailable, Event, PublishFailed, StreamManager, Subscription
from streamy_core.strategies import FixedDelay, NoRetry
from streamy_core.testing.reading import DEADLINE, data_of, read_all

from ..conftest import NewManager
from .conftest import KINDS, OwnServer
from .servers import Server

pytestmark = pytest.mark.slow


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, own_server: OwnServer) -> Server:
    return own_server("maxmemory-policy noeviction", kind=request.param).start()


@pytest.fixture
def sse(server: Server, new_manager: NewManager) -> StreamManager:
    """One that tries once; "news" holds "a"."""
    sse = new_manager(server.url, retry=NoRetry())
    sse.send_event("news", "a")
    return sse


def fill(server: Server) -> None:
    # Less than it uses as it is, so that it doesn't depend on a few bytes more or less of its own.
    server.client.config_set("maxmemory", 1)


def make_room(server: Server) -> None:
    server.client.config_set("maxmemory", 0)


def contents(server: Server) -> dict[bytes, Any]:
    return {key: server.client.dump(key) for key in server.client.scan_iter()}


@pytest.mark.parametrize("stream", ["news", "new"], ids=["a stream", "a new stream"])
def test_publishing_fails_and_says_why(sse: StreamManager, server: Server, stream: str) -> None:
    fill(server)
    with pytest.raises(PublishFailed) as failed:
        sse.send_event(stream, "b")
    assert isinstance(failed.value.__cause__, BrokerUnavailable)
    assert "maxmemory" in str(failed.value.__cause__)


@pytest.mark.parametrize("stream", ["news", "new"], ids=["a stream", "a new stream"])
def test_nothing_is_half_stored(sse: StreamManager, server: Server, stream: str) -> None:
    before = contents(server)
    fill(server)
    with pytest.raises(PublishFailed):
        sse.send_events(stream, ["b", "c", Event("d", "name")])
    assert contents(server) == before


def test_what_is_stored_can_be_read(sse: StreamManager, server: Server) -> None:
    fill(server)
    assert data_of(read_all(sse.broker, "news")) == ["a"]


def test_a_stream_that_is_not_there_can_be_read(sse: StreamManager, server: Server) -> None:
    fill(server)
    page = sse.broker.read({"new": OLDEST}, 1)["new"]
    assert (page.entries, page.gap) == ((), False)


@pytest.mark.parametrize("stream", ["news", "new"], ids=["a stream", "a new stream"])
def test_whoever_comes_meanwhile_gets_what_is_published_when_there_is_room(
    sse: StreamManager, server: Server, stream: str
) -> None:
    fill(server)
    with sse.subscribe(stream) as subscription:
        make_room(server)
        sse.send_event(stream, "b")
        assert said(subscription) == "b"


def test_a_subscription_goes_on(sse: StreamManager, server: Server) -> None:
    with sse.subscribe(["news", "new"]) as subscription:
        sse.send_event("news", "b")
        assert said(subscription) == "b"
        fill(server)
        with pytest.raises(PublishFailed):
            sse.send_event("news", "nobody's")
        make_room(server)
        sse.send_event("news", "c")
        sse.send_event("new", "d")
        assert {said(subscription), said(subscription)} == {"c", "d"}
    assert not sse.health.failures


def test_publishing_succeeds_by_the_retry_policy_when_there_is_room(
    sse: StreamManager, server: Server, new_manager: NewManager
) -> None:
    failures = []

    class MakesRoom(FixedDelay):
        def delay(self, attempt: int) -> float | None:
            failures.append(attempt)
            if len(failures) == 3:
                make_room(server)
            return 0.01

    persistent = new_manager(server.url, retry=MakesRoom())
    fill(server)
    persistent.send_event("news", "b")
    assert failures == [1, 2, 3]
    assert data_of(read_all(sse.broker, "news")) == ["a", "b"]


def said(subscription: Subscription) -> str:
    entry = subscription.next(DEADLINE)
    assert entry is not None, "nothing has come"
    return entry.event.data


def test_a_broadcast_that_finds_no_more_room_knows_who_has_it(sse: StreamManager, server: Server) -> None:
    names = [f"s{n}" for n in range(200)]
    sse.broadcast(names, "a")
    used = int(server.client.info("memory")["used_memory"])
    server.client.config_set("maxmemory", used + 2_000_000)
    with pytest.raises(PublishFailed) as failure:
        sse.broadcast(names, "b" * 40_000)
    make_room(server)
    have_it = {name for name in names if len(read_all(sse.broker, name)) == 2}
    assert set(failure.value.stored) == have_it
    assert 0 < len(have_it) < len(names)
