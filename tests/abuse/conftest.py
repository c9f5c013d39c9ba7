"""Small workers, as an attacker likes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import pytest

from streamy_core.testing.reading import DEADLINE

from ..support.app_server import SLOTS, AppServer
from ..support.web_server import Pair

THREADS: Final = 4

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
