"""Small workers, as an attacker likes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import pytest

from streamy_core.testing.reading import DEADLINE

from ..backends.redis.conftest import program
from ..backends.redis.servers import Server as RedisServer
from ..support.app_server import SLOTS, AppServer
from ..support.crowd import Crowd, Record
from ..support.web_server import Pair

THREADS: Final = 4

_HONEST: Final = 10
"""Clients."""
_EVENTS: Final = 10
_LATE: Final = 1.0
"""Seconds."""

WORKERS: Final = (
    Pair("gthread", "detached", threads=THREADS),
    Pair("gthread", "wsgi", threads=THREADS),
    Pair("sync", "detached", threads=1),
    Pair("sync", "wsgi", threads=1),
    Pair("gevent", "wsgi"),
    Pair("werkzeug", "wsgi"),
)

NewWorker = Callable[..., AppServer]


@pytest.fixture
def new_worker(tmp_path: Path) -> Iterator[NewWorker]:
    """Starts a server of the app with one worker, by what it is and its settings. Slots are the default."""
    with ExitStack() as to_stop:

        def start(pair: Pair, *, options: tuple[str, ...] = (), **settings: Any) -> AppServer:
            given = {SLOTS: None, **{f"STREAMY_{name.upper()}": value for name, value in settings.items()}}
            log = tmp_path / f"{len(list(tmp_path.iterdir()))}.log"
            return to_stop.enter_context(
                AppServer(log, pair, settings=given, options=("--graceful-timeout", "5", *options)).start()
            )

        yield start


@pytest.fixture(params=WORKERS, ids=str)
def worker(request: pytest.FixtureRequest, new_worker: NewWorker) -> AppServer:
    """Of each kind in turn. Clients come back soon, where they have to."""
    return new_worker(request.param, reconnect_delay=0.2)


def seconds_of_a_view(address: tuple[str, int], count: int) -> list[float]:
    """How long each of so many requests took for a view that has nothing to do with streams; sorted."""
    took = []
    for _ in range(count):
        began = time.monotonic()
        with closing(HTTPConnection(*address, timeout=DEADLINE)) as connection:
            connection.request("GET", "/hello", headers={"Connection": "close"})
            assert connection.getresponse().read() == b"hello"
        took.append(time.monotonic() - began)
    return sorted(took)


def fill(server: AppServer, stream: str) -> None:
    """As much history as a stream keeps, more than any socket takes at once."""
    server.batch(stream, ["x" * 4_500] * 900)


def assert_honest_clients_get_events_soon(server: AppServer, address: tuple[str, int]) -> None:
    """Ten clients at this address, the server's or a proxy's, get ten events, each within a second."""
    record = Record()
    with (
        Crowd(address, server.path("live"), _HONEST, record) as crowd,
        ThreadPoolExecutor(1) as pool,
    ):
        # Where threads are few, honest clients poll, too: they are never all connected at once.
        crowd.run_until(lambda: all(source.last_id for source in crowd.sources), "everybody served once")
        for number in range(_EVENTS):
            pool.submit(server.send, "live", str(number)).result()
            began = time.monotonic()
            crowd.run_until(
                lambda: all(len(record.data(source)) > number for source in crowd.sources),  # noqa: B023
                f"event {number} at all honest clients",
            )
            assert time.monotonic() - began < _LATE
        assert [record.data(source) for source in crowd.sources] == [
            [str(number) for number in range(_EVENTS)]
        ] * _HONEST


@contextmanager
def backend(kind: str, folder: Path) -> Iterator[str]:
    """The URL of one: memory, sqlite or valkey."""
    if kind != "valkey":
        yield {"memory": "memory://", "sqlite": f"sqlite:///{folder}/streams.db"}[kind]
        return
    server = RedisServer(program(kind), folder).start()
    try:
        yield server.url
    finally:
        server.stop()
