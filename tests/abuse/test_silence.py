"""A backend that is silent, and doesn't refuse: other views go on, and a worker stops in time."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from ..backends.redis.conftest import program
from ..backends.redis.servers import Server as RedisServer
from ..backends.sql.conftest import server_in
from ..support.app_server import AppServer
from ..support.crowd import Crowd, Record
from ..support.web_server import Pair

pytestmark = pytest.mark.slow

CLIENTS: Final = 60
SILENCE, QUICK, SLOWEST, STOPS, LEVEL = 8.0, 0.2, 2.0, 3.0, 5.0
"""Seconds: of silence; for nine of ten views that ask nobody, and for any; to stop; to be level again."""


class Backend(NamedTuple):
    """url: of a broker. silent: stops it meanwhile, connections and all."""

    url: str
    silent: Callable[[], AbstractContextManager[Any]]


@pytest.fixture(scope="module", params=["valkey", "postgresql", "mariadb"])
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "valkey":
        redis = RedisServer(program("valkey"), folder).start()

        @contextmanager
        def silent() -> Iterator[None]:
            redis.pause()
            try:
                yield
            finally:
                redis.resume()

        yield Backend(redis.url, silent)
        redis.stop()
    else:
        database = server_in(request.param, folder).start()
        yield Backend(database.url, database.standing_still)
        database.stop()


@pytest.fixture(params=["detached", "wsgi"])
def workers(request: pytest.FixtureRequest, backend: Backend, tmp_path: Path) -> Iterator[AppServer]:
    settings = {"STREAMY_BROKER_URL": backend.url, "STREAMY_RECONNECT_DELAY": 0.5}
    # Preloaded, since a worker that starts meanwhile waits for its backend.
    options = ("--graceful-timeout", "30", "--preload")
    pair = Pair("gthread", request.param, threads=8)
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
                for _ in range(5):
                    crowd.turn()
                    coming.turn()
            took.sort()
            # A silence is known after half a second, and looked for anew when the driver has given up.
            assert took[int(len(took) * 0.9)] < QUICK, took[-10:]
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
