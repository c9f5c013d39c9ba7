"""Connections that the server, or a firewall, gave up in a pool: they cost a retry, and no error."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from streamy_core import OLDEST
from streamy_core.broker import Broker
from streamy_core.strategies import NoRetry
from streamy_core.testing.reading import data_of, events, eventually, read_all, wait_for_bell

from ...support.proxy import Proxy
from ..conftest import NewBroker, NewManager
from .conftest import SERVERS, NewEngine
from .counting import CONNECTIONS, Counting
from .servers import Server
from .shop import next_of

pytestmark = pytest.mark.slow

POOLED = 3

ASKED: dict[str, Callable[[Broker], Any]] = {
    "read": lambda broker: broker.read({"news": OLDEST}, 10),
    "tail": lambda broker: broker.tail(["news"]),
    "streams": lambda broker: list(broker.streams()),  # type: ignore[attr-defined]
    "watch": lambda broker: broker.watch().close(),
    "end": lambda broker: broker.end("over"),
    "append with a key": lambda broker: broker.append("news", events("b"), idempotency_key="k"),
}


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, shared: Callable[[str], Server]) -> Server:
    return shared(request.param)


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(("127.0.0.1", server.port)) as proxy:
        yield proxy


def fill_pool(broker: Any) -> None:
    """Have some connections lie in its pool."""
    with ExitStack() as lent:
        for _ in range(POOLED):
            db = lent.enter_context(broker._database.autocommit("fill the pool"))
            db.execute("SELECT 1")
            db.fetchall()


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("by", ["the broker's engine", "the app's engine"])
def test_a_stale_connection_costs_a_retry_and_no_error(
    server: Server,
    proxy: Proxy,
    new_broker: NewBroker,
    new_engine: NewEngine,
    ask: Callable[[Broker], Any],
    by: str,
) -> None:
    url = proxy.through(server.url)
    broker = new_broker("sql:", engine=new_engine(url)) if by == "the app's engine" else new_broker(url)
    broker.append("news", events("a"))
    fill_pool(broker)
    proxy.cut()
    ask(broker)


def test_what_is_published_by_a_stale_connection_without_a_retry_policy_is_stored_once(
    server: Server, proxy: Proxy, new_manager: NewManager
) -> None:
    sse = new_manager(proxy.through(server.url), retry=NoRetry())
    sse.send_event("news", "a")
    proxy.cut()
    sse.send_event("news", "b")
    sse.cursor("news")  # by whose answer all of the one before has come, too
    proxy.lose_reply(tears=True)
    sse.send_event("news", "c")
    assert data_of(read_all(sse.broker, "news")) == ["a", "b", "c"]


def test_what_has_no_key_is_never_sent_twice(server: Server, proxy: Proxy, new_broker: NewBroker) -> None:
    broker = new_broker(proxy.through(server.url))
    broker.append("news", events("a"))
    proxy.lose_reply(tears=True)
    with pytest.raises(Exception, match="could not append"):
        broker.append("news", events("b"))
    assert data_of(read_all(broker, "news")) in (["a"], ["a", "b"])


IDLE = {
    "postgresql": "options=-c%20idle_session_timeout%3D300",
    "mariadb": "init_command=SET%20SESSION%20wait_timeout%3D1",
}


@pytest.mark.parametrize("kind", CONNECTIONS)
def test_a_page_is_served_after_the_server_gave_up_idle_connections(
    kind: str, shared: Callable[[str], Server], prefix: str, new_manager: NewManager
) -> None:
    counting = Counting(kind, shared(kind), prefix)
    sse = new_manager(f"{counting.url}{'&' if '?' in counting.url else '?'}{IDLE[kind]}")
    sse.send_event("news", "a")
    fill_pool(sse.broker)
    eventually(lambda: not counting.connections(), "connections that are given up")
    cursor = sse.cursor("news")
    with sse.subscribe("news", after=OLDEST) as subscription:
        assert next_of(subscription) == "a"
    assert cursor
    assert [info.stream_id for info in sse.broker.streams()] == ["news"]  # type: ignore[attr-defined]


def test_a_watch_whose_pooled_connections_are_stale_goes_on_without_a_failure(
    server: Server, proxy: Proxy, new_manager: NewManager, caplog: pytest.LogCaptureFixture
) -> None:
    writer = new_manager(server.url)
    sse = new_manager(proxy.through(server.url), notify=False)  # without a bell's own connection
    with caplog.at_level(logging.WARNING, logger="streamy"), sse.subscribe("news") as subscription:
        writer.send_event("news", "a")
        assert next_of(subscription) == "a"
        proxy.cut()
        writer.send_event("news", "b")
        assert next_of(subscription) == "b"
        assert sse.health.failures == 0
    assert caplog.records == []


def test_a_bell_is_heard_by_a_watch_that_was_made_by_a_stale_connection(
    server: Server, proxy: Proxy, new_broker: NewBroker
) -> None:
    broker = new_broker(proxy.through(server.url))
    fill_pool(broker)
    proxy.cut()
    watch = broker.watch()
    watch.add("news")
    new_broker(server.url).append("news", events("a"))
    wait_for_bell(watch, "news")
