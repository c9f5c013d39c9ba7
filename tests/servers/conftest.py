"""Fixtures: running servers, clients, a stream of one's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from hashlib import blake2b
from typing import Any

import pytest

from .clients import Client, Curl, HttpxSse, LaunchDarkly, NpmEventSource, missing_for_npm
from .proxy import Proxy
from .servers import GTHREAD, LIVE, PAIRS, POLLING, Pair, Server

Running = Callable[..., Server]
Connect = Callable[..., Client]


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The server of a pair, started when it is first asked for and kept for the session."""
    logs = tmp_path_factory.mktemp("servers")
    started: dict[tuple[Pair, int], Server] = {}
    with ExitStack() as to_stop:

        def start(pair: Pair, *, history: int = 1_000) -> Server:
            if (pair, history) not in started:
                server = Server(pair, logs / f"{pair}-{history}.log", history=history)
                to_stop.callback(server.stop)
                started[pair, history] = server
            return started[pair, history]

        yield start


@pytest.fixture(params=PAIRS, ids=str)
def server(request: pytest.FixtureRequest, running: Running) -> Server:
    """Every pair, also those that serve nobody else while a stream is open."""
    return running(request.param)


@pytest.fixture(params=PAIRS, ids=str)
def forgetful_server(request: pytest.FixtureRequest, running: Running) -> Server:
    """Every pair, with a broker that keeps five entries of a stream."""
    return running(request.param, history=5)


@pytest.fixture(params=LIVE, ids=str)
def live_server(request: pytest.FixtureRequest, running: Running) -> Server:
    """Every pair that goes on serving while streams are open."""
    return running(request.param)


@pytest.fixture(params=POLLING, ids=str)
def polling_server(request: pytest.FixtureRequest, running: Running) -> Server:
    """Servers whose streams may hold no thread."""
    return running(request.param)


@pytest.fixture(params=GTHREAD, ids=str)
def gthread_server(request: pytest.FixtureRequest, running: Running) -> Server:
    """The server most people run: enough where the client is what is tested."""
    return running(request.param)


@pytest.fixture
def stream(request: pytest.FixtureRequest) -> str:
    """The name of a stream that no other test uses, and that this one always uses."""
    return f"news:{blake2b(request.node.nodeid.encode(), digest_size=6).hexdigest()}"


@pytest.fixture
def streams(stream: str) -> list[str]:
    """Ten such names."""
    return [f"{stream}:{number}" for number in range(10)]


@pytest.fixture
def proxy(live_server: Server) -> Iterator[Proxy]:
    """A network to `live_server` that can be cut."""
    with Proxy(live_server.address) as proxy:
        yield proxy


@pytest.fixture
def gthread_proxy(gthread_server: Server) -> Iterator[Proxy]:
    """A network to `gthread_server` that can be cut."""
    with Proxy(gthread_server.address) as proxy:
        yield proxy


@pytest.fixture
def npm() -> None:
    """Skips without npm's eventsource, but fails in CI, where nothing may go untested."""
    if missing := missing_for_npm():
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what its server has written."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for server in item.funcargs.values():
            if isinstance(server, Server):
                report.sections.append((f"log of {server.pair}", server.log()[-5_000:]))
    return report
