"""What clients get when their server is shut down, and how soon it is gone."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from streamy_core.testing.reading import DEADLINE

from ...support.app_server import AppServer
from ...support.process import wait_until_gone
from ...support.raw_client import RawClient
from ...support.web_server import Pair
from ..app import RECONNECT_DELAY, Gunicorn

pytestmark = [pytest.mark.slow, pytest.mark.timeout(20)]

CLIENTS: Final = 30
PENDING: Final = [f"pending {number}" for number in range(20)]
MAX_REQUESTS: Final = 60

PAIRS: Final = (
    Pair("gthread", "detached", threads=4),
    Pair("gthread", "wsgi", threads=40),
    Pair("sync", "detached", threads=1),
    Pair("gevent", "wsgi", threads=40),
)


def sigterm(server: Gunicorn) -> None:
    server.signal(signal.SIGTERM)


def sigint(server: Gunicorn) -> None:
    server.signal(signal.SIGINT)


def ctrl_c(server: Gunicorn) -> None:
    """SIGINT as a terminal sends it: to the workers, too, which then get SIGQUIT from their master."""
    server.signal(signal.SIGINT, to_all=True)


def reload(server: Gunicorn) -> None:
    server.signal(signal.SIGHUP)


def max_requests(server: Gunicorn) -> None:
    for _ in range(MAX_REQUESTS):
        assert server.ask("/hello") == b"hello"
        if "Autorestarting" in server.log():
            return
    raise AssertionError(f"the worker goes on after {MAX_REQUESTS} requests")


WAYS: Final = (sigterm, sigint, ctrl_c, reload, max_requests)


@dataclass(frozen=True, slots=True)
class Shutdown:
    """How it was to be a client of a server that was shut down.

    seconds: what the old worker took to be gone, or its clients, where it may not go; allowed: what
             it may take.
    """

    clients: list[RawClient]
    seconds: float
    allowed: float


@pytest.fixture(scope="module", params=PAIRS, ids=str)
def pair(request: pytest.FixtureRequest) -> Pair:
    pair: Pair = request.param
    return pair


def may_hang(pair: Pair, way: Callable[[Gunicorn], None]) -> bool:
    """Whether the worker may stay for good, with any app.

    On gthread, gunicorn's handlers of SIGINT and SIGQUIT take a lock which the code that they interrupt, or
    each other's, may hold. Detached clients leave all the same; those served by WSGI stay with the worker.
    """
    return pair.server == "gthread" and way in (sigint, ctrl_c)


STOPS: Final = [
    (pair, way) for pair in PAIRS for way in WAYS if pair.delivery == "detached" or not may_hang(pair, way)
]


@pytest.fixture(scope="module", params=STOPS, ids=lambda stop: f"{stop[0]}-{stop[1].__name__}")
def shutdown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shutdown:
    """One server stopped in one way, with clients that haven't read what was published last."""
    pair, way = request.param
    options = ("--max-requests", str(MAX_REQUESTS)) if way is max_requests else ()
    # gunicorn's gevent worker looks once a second whether it is to stop, and then whether all have gone.
    allowed = 3.0 if pair.server == "gevent" else 2.0
    log = tmp_path_factory.mktemp("shutdown") / "log"
    with Gunicorn(pair, log, *options) as server, ExitStack() as opened:
        clients = [opened.enter_context(server.visit("/open/news")) for _ in range(CLIENTS)]
        for client in clients:
            client.read_opening()
        worker = server.worker()
        server.batch("news", PENDING)
        way(server)
        began = time.monotonic()
        for client in clients:
            with suppress(ConnectionResetError):
                client.until(partial(_is_over, client), "the end of the response")
            client.close()  # gunicorn would keep the connection of a complete response for 2 s more
        if not may_hang(pair, way):
            wait_until_gone(worker, DEADLINE)
        seconds = time.monotonic() - began
    return Shutdown(clients, seconds, allowed)


def _is_over(client: RawClient) -> bool:
    return client.complete or client.closed_by_server


def test_every_client_gets_what_is_pending(shutdown: Shutdown) -> None:
    for client in shutdown.clients:
        assert [message.data for message in client.messages] == PENDING


def test_every_client_is_told_last_when_to_come_back(shutdown: Shutdown) -> None:
    for client in shutdown.clients:
        last = client.last_frame
        assert last.retry is not None
        assert 0.5 <= last.retry / 1000 / RECONNECT_DELAY <= 1.5
        assert (last.id, last.data) == (None, None)


def test_clients_are_not_all_told_to_come_back_at_the_same_time(shutdown: Shutdown) -> None:
    assert len({client.last_frame.retry for client in shutdown.clients}) > CLIENTS / 2


def test_every_response_is_closed_by_its_last_chunk(shutdown: Shutdown) -> None:
    for client in shutdown.clients:
        assert client.header("Transfer-Encoding") == ["chunked"]
        assert client.complete


def test_the_worker_is_gone_soon(shutdown: Shutdown) -> None:
    assert shutdown.seconds < shutdown.allowed


@pytest.mark.parametrize("way", [reload, max_requests], ids=lambda way: way.__name__)
def test_a_client_that_comes_back_is_served_by_the_next_worker(
    pair: Pair, way: Callable[[Gunicorn], None], tmp_path: Path
) -> None:
    options = ("--max-requests", str(MAX_REQUESTS)) if way is max_requests else ()
    with Gunicorn(pair, tmp_path / "log", *options) as server:
        with server.visit("/open/news") as client:
            client.read_opening()
            worker = server.worker()
            way(server)
            client.read_to_end()
        wait_until_gone(worker, DEADLINE)
        with server.visit("/open/news", last_event_id=client.last_event_id) as back:
            back.read_opening()
            server.send("news", "new")
            assert back.read(2)[-1].data == "new"


def test_a_worker_that_stops_says_so_only_once(tmp_path: Path) -> None:
    with Gunicorn(PAIRS[0], tmp_path / "log") as server, server.visit("/open/news") as client:
        client.read_opening()
        server.signal(signal.SIGTERM)
        client.read_to_end()
        assert client.rest == b""
        assert [frame.retry for frame in client.frames if frame.retry is not None][1:] == [
            client.last_frame.retry
        ]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_stopping_writes_no_traceback(pair: Pair, tmp_path: Path) -> None:
    with Gunicorn(pair, tmp_path / "log") as server, ExitStack() as opened:
        for client in [opened.enter_context(server.visit("/open/news")) for _ in range(CLIENTS)]:
            client.read_opening()
        server.signal(signal.SIGTERM)
        server.wait(5)
        assert "Traceback" not in server.log()


def test_ctrl_c_ends_flask_run_at_once_with_clients_connected(tmp_path: Path) -> None:
    pair = Pair("flask run", "auto", threads=40)
    with AppServer(tmp_path / "log", pair).start() as server, ExitStack() as opened:
        for client in [opened.enter_context(server.connect("news")) for _ in range(CLIENTS)]:
            client.read_opening()
        server.signal(signal.SIGINT)
        server.wait(2)
