"""Fixtures: running servers, clients, a stream of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from ...support.app_server import AppServer
from ...support.proxy import Proxy
from ...support.requirements import go_without
from ...support.web_server import Pair
from .other_clients import Client, Curl, HttpxSse, LaunchDarkly, NpmEventSource, missing_for_npm
from .pairs import GTHREAD, KEEP_ALIVE, LIVE, PAIRS, POLLING, RECONNECT_DELAY

Running = Callable[..., AppServer]
Connect = Callable[..., Client]


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The server of a pair, started when it is first asked for and kept for the session."""
    logs = tmp_path_factory.mktemp("servers")
    started: dict[tuple[Pair, int], AppServer] = {}
    with ExitStack() as to_stop:

        def start(pair: Pair, *, history: int = 1_000) -> AppServer:
            if (pair, history) not in started:
                settings = {
                    "STREAMY_BROKER_URL": f"memory://?history={history}",
                    "STREAMY_KEEP_ALIVE": KEEP_ALIVE,
                    "STREAMY_RECONNECT_DELAY": RECONNECT_DELAY,
                }
                server = AppServer(logs / f"{pair}-{history}.log", pair, settings=settings)
                started[pair, history] = to_stop.enter_context(server.start())
            return started[pair, history]

        yield start


@pytest.fixture(params=PAIRS, ids=str)
def server(request: pytest.FixtureRequest, running: Running) -> AppServer:
    """Every pair, also those that serve nobody else while a stream is open."""
    return running(request.param)


@pytest.fixture(params=PAIRS, ids=str)
def forgetful_server(request: pytest.FixtureRequest, running: Running) -> AppServer:
    """Every pair, with a broker that keeps five entries of a stream."""
    return running(request.param, history=5)


@pytest.fixture(params=LIVE, ids=str)
def live_server(request: pytest.FixtureRequest, running: Running) -> AppServer:
    """Every pair that goes on serving while streams are open."""
    return running(request.param)


@pytest.fixture(params=POLLING, ids=str)
def polling_server(request: pytest.FixtureRequest, running: Running) -> AppServer:
    """Servers whose streams may hold no thread."""
    return running(request.param)


@pytest.fixture(params=GTHREAD, ids=str)
def gthread_server(request: pytest.FixtureRequest, running: Running) -> AppServer:
    """The server most people run: enough where the client is what is tested."""
    return running(request.param)


@pytest.fixture
def streams(stream: str) -> list[str]:
    """Ten such names."""
    return [f"{stream}:{number}" for number in range(10)]


@pytest.fixture
def proxy(live_server: AppServer) -> Iterator[Proxy]:
    """A network to `live_server` that can be cut."""
    with Proxy(live_server.address) as proxy:
        yield proxy


@pytest.fixture
def gthread_proxy(gthread_server: AppServer) -> Iterator[Proxy]:
    """A network to `gthread_server` that can be cut."""
    with Proxy(gthread_server.address) as proxy:
        yield proxy


@pytest.fixture
def npm() -> None:
    """Skips without npm's eventsource, but fails in CI."""
    if missing := missing_for_npm():
        go_without(missing)


@pytest.fixture(params=[HttpxSse, LaunchDarkly, NpmEventSource, Curl], ids=lambda kind: kind.__name__)
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Connects a client that somebody else has written: `connect(url, *names)`."""
    yield from _connecting(request)


@pytest.fixture(params=[LaunchDarkly, NpmEventSource], ids=lambda kind: kind.__name__)
def connect_for_good(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """The same, of those that reconnect by themselves."""
    yield from _connecting(request)


@pytest.fixture
def connect_npm(npm: None) -> Iterator[Callable[..., NpmEventSource]]:
    """Connects npm's eventsource."""
    with ExitStack() as to_close:
        yield lambda url, *names: to_close.enter_context(closing(NpmEventSource(url, names)))


def _connecting(request: pytest.FixtureRequest) -> Iterator[Connect]:
    if request.param is NpmEventSource:
        request.getfixturevalue("npm")
    with ExitStack() as to_close:
        yield lambda url, *names: to_close.enter_context(closing(request.param(url, names)))
