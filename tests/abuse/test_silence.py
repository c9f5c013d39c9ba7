"""A backend that is silent, and doesn't refuse: other views go on, and a worker stops in time.

It is stopped, connections and all, or a network in between swallows what is sent.
`TEST_SILENCE=20 TEST_SILENCE_CLIENTS=300` asks for more.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import pytest

from ..backends.redis.conftest import program
from ..backends.redis.servers import Server as RedisServer
from ..backends.sql.conftest import server_in
from ..support.app_server import AppServer
from ..support.crowd import Crowd, Record
from ..support.proxy import Proxy
from ..support.web_server import Pair

pytestmark = pytest.mark.slow

CLIENTS: Final = int(os.environ.get("TEST_SILENCE_CLIENTS", "60"))
SILENCE: Final = float(os.environ.get("TEST_SILENCE", "6"))
ALONE: Final = "TEST_SILENCE" in os.environ
"""Whether no other tests run beside."""
QUICK: Final = 0.2 if ALONE else 1.0
"""Seconds for all but one in a hundred views that ask nobody."""
SLOWEST, STOPS, LEVEL = 2.0, 2.0 if ALONE else 4.0, 5.0
"""Seconds for any such view; to stop; to be level again."""
STOPPED: Final = {("valkey", "detached"), ("postgresql", "wsgi"), ("mariadb", "detached")}
"""With any other the network is a black hole."""


class Backend(NamedTuple):
    """url: of a broker. silent: stops it meanwhile, connections and all."""

    url: str
    silent: Callable[[], AbstractContextManager[Any]]


@contextmanager
def server_of(kind: str, folder: Path) -> Iterator[Backend]:
    """One that can be stopped for a while."""
    if kind == "valkey":
        redis = RedisServer(program("valkey"), folder).start()
        yield Backend(redis.url, lambda: between(redis.pause, redis.resume))
        redis.stop()
    else:
        database = server_in(kind, folder).start()
        yield Backend(database.url, database.standing_still)
        database.stop()


@contextmanager
def between(before: Callable[[], None], after: Callable[[], None]) -> Iterator[None]:
    before()
    try:
        yield
    finally:
        after()


@pytest.fixture(scope="module", params=["valkey", "postgresql", "mariadb"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with server_of(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture(scope="module", params=["detached", "wsgi"])
def delivery(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def backend(request: pytest.FixtureRequest, server: Backend, delivery: str) -> Iterator[Backend]:
    """Each is stopped with one delivery, and swallowed by a black hole with the other.

    What waits for a backend doesn't know for whom: all three together are no more than each two.
    """
    if (request.node.callspec.params["server"], delivery) in STOPPED:
        yield server
        return
    at = urlsplit(server.url)
    assert at.port
    with Proxy(("127.0.0.1", at.port)) as proxy:
        yield Backend(proxy.through(server.url), lambda: between(proxy.freeze, proxy.thaw))


@pytest.fixture
def workers(delivery: str, backend: Backend, tmp_path: Path) -> Iterator[AppServer]:
    settings = {"STREAMY_BROKER_URL": backend.url, "STREAMY_RECONNECT_DELAY": 0.5}
    # Preloaded, since a worker that starts meanwhile waits for its backend.
    options = ("--graceful-timeout", "30", "--preload")
    pair = Pair("gthread", delivery, threads=8)
    with AppServer(
        tmp_path / "log", pair, settings={**settings, "STREAMY_WSGI_SLOTS": None}, workers=2, options=options
    ).start() as server:
        yield server


def test_views_that_ask_no_backend_go_on_while_clients_come_back(
    workers: AppServer, backend: Backend
) -> None:
    record = Record()
    with ExitStack() as to_end, Crowd(workers.address, workers.path("news"), CLIENTS, record) as crowd:
        crowd.run_until(lambda: all(source.last_id for source in crowd.sources), "everybody served once")
        to_end.enter_context(backend.silent())
        with Crowd(workers.address, workers.path("other"), CLIENTS, record) as coming:
            took: list[float] = []
            end = time.monotonic() + SILENCE
            while time.monotonic() < end:
                began = time.monotonic()
                assert workers.ask("/hello") == b"hello"
                took.append(time.monotonic() - began)
                crowd.turn()
                coming.turn()
            took.sort()
            assert took[int(len(took) * 0.99)] < QUICK, took[-10:]
            assert took[-1] < SLOWEST, took[-10:]
            to_end.close()
            crowd.run_until(
                lambda: all(source.last_id for source in coming.sources) or coming.turn(), "others"
            )
        workers.send("news", "after")
        began = time.monotonic()
        crowd.run_until(lambda: all("after" in record.data(source) for source in crowd.sources), "the event")
        assert time.monotonic() - began < LEVEL


def test_a_worker_stops_in_time_though_its_backend_is_silent(workers: AppServer, backend: Backend) -> None:
    with Crowd(workers.address, workers.path("news"), CLIENTS, Record()) as crowd:
        crowd.run_until(lambda: all(source.last_id for source in crowd.sources), "everybody served once")
        with backend.silent(), Crowd(workers.address, workers.path("other"), CLIENTS, Record()) as coming:
            end = time.monotonic() + 1.0
            while time.monotonic() < end:
                coming.turn()
            began = time.monotonic()
            workers.signal(signal.SIGTERM)
            workers.wait(10)
            assert time.monotonic() - began < STOPS
