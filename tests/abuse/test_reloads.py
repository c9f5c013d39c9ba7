"""A reload while clients come back in a storm: everybody is served again, and nobody is worth a log line.

`TEST_RELOADS=20` asks for more than a run in CI.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from ..support.app_server import AppServer
from ..support.crowd import Crowd, Record
from ..support.web_server import Pair
from .conftest import THREADS, NewWorker, backend

RELOADS: Final = int(os.environ.get("TEST_RELOADS", "2"))
CLIENTS: Final = 300
STREAMS: Final = [f"news:{number}" for number in range(100)]
STAY: Final = 0.1
"""Seconds for which they stay, so that some come back at any time."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + 30 * RELOADS)]

_INFO: Final = re.compile(r"\[[^]]*\] \[\d+\] \[INFO\] .*")
"""A line of gunicorn's. What the library says beside that is a warning, or worse."""


@pytest.fixture(params=["memory", "valkey"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with backend(request.param, tmp_path) as url:
        yield url


@pytest.mark.parametrize("delivery", ["detached", "wsgi"])
def test_a_reload_while_clients_come_back_logs_nothing(
    new_worker: NewWorker, url: str, delivery: str
) -> None:
    server = new_worker(
        Pair("gthread", delivery, THREADS), broker_url=url, reconnect_delay=STAY, max_connection_age=STAY
    )
    record = Record()
    paths = [server.path(stream) for stream in STREAMS]
    with Crowd(server.address, paths, CLIENTS, record) as crowd:
        crowd.run_until(lambda: all(source.last_id for source in crowd.sources), "everybody served once")
        for number in range(RELOADS):
            _reload(server, crowd)
            for stream in STREAMS:
                server.send(stream, str(number))
            crowd.run_until(
                lambda: all(str(number) in record.data(source) for source in crowd.sources),  # noqa: B023
                f"the event after reload {number} at everybody's",
            )
    assert [line for line in server.log().splitlines() if not _INFO.fullmatch(line)] == []


def _reload(server: AppServer, crowd: Crowd) -> None:
    """Have new workers, and everybody served by them."""
    (old,) = server.children
    _run_until_all_have_come_back(crowd, times=3)  # and no longer all at the same time
    server.signal(signal.SIGHUP)
    crowd.run_until(lambda: server.children and old not in server.children, "the end of the old worker")
    _run_until_all_have_come_back(crowd)


def _run_until_all_have_come_back(crowd: Crowd, times: int = 1) -> None:
    enough = {source: source.connections + times for source in crowd.sources}
    crowd.run_until(
        lambda: all(source.connections >= enough[source] for source in crowd.sources), "everybody back"
    )
