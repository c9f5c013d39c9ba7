"""Behind nginx, which passes on what it is given, rude clients hold no thread that others need either."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from ..support.app_server import AppServer
from ..support.certificates import make_certificate
from ..support.nginx import Nginx
from ..support.web_server import Pair
from .conftest import (
    WORKERS,
    NewWorker,
    assert_honest_clients_get_events_soon,
    backend,
    fill,
    seconds_of_a_view,
)
from .rude import KINDS, Rudeness, rude_clients
from .test_threads import QUICK, REQUESTS, RUDE

pytestmark = pytest.mark.slow

ENTRIES, ENTRY_BYTES, BATCH = 1_000, 60_000, 100

IN_THREADS: Final = [pair for pair in WORKERS if pair.server == "gthread"]


@pytest.fixture
def nginx(worker: AppServer, tmp_path: Path) -> Iterator[Nginx]:
    with Nginx(tmp_path, worker.address, make_certificate(tmp_path)).start() as nginx:
        yield nginx


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[-1]], ids=lambda kind: kind.name)
def test_rude_clients_keep_no_view_waiting(worker: AppServer, nginx: Nginx, kind: Rudeness) -> None:
    fill(worker, "news")
    quiet = seconds_of_a_view(nginx.plain, REQUESTS)[-1]
    with rude_clients(nginx.plain, worker.path("news"), kind, RUDE):
        found = seconds_of_a_view(nginx.plain, REQUESTS)
    assert found[-2] < max(4 * quiet, QUICK), f"quiet at most {quiet:.3f} s; with rude clients {found[-5:]}"


@pytest.fixture(params=["memory", "valkey"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a broker that keeps the long history."""
    with backend(request.param, tmp_path) as url:
        yield f"{url}?history_bytes={2 * ENTRIES * ENTRY_BYTES}" if request.param == "memory" else url


@contextmanager
def deployed(worker: AppServer, folder: Path) -> Iterator[tuple[str, int]]:
    """The address of an nginx in front of it, as the page says."""
    with Nginx(folder, worker.address, make_certificate(folder), guided=True).start() as nginx:
        yield nginx.plain


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[-1]], ids=lambda kind: kind.name)
@pytest.mark.parametrize("pair", IN_THREADS, ids=str)
def test_rude_clients_of_a_long_history_keep_nobody_waiting(
    new_worker: NewWorker, url: str, tmp_path: Path, pair: Pair, kind: Rudeness
) -> None:
    worker = new_worker(pair, broker_url=url, reconnect_delay=0.2)
    for _ in range(ENTRIES // BATCH):
        worker.batch("news", ["x" * ENTRY_BYTES] * BATCH)
    with deployed(worker, tmp_path) as address:
        quiet = seconds_of_a_view(address, REQUESTS)[-1]
        with rude_clients(address, worker.path("news"), kind, RUDE):
            found = seconds_of_a_view(address, REQUESTS)
            assert found[-2] < max(4 * quiet, QUICK), (
                f"quiet at most {quiet:.3f} s; with rude ones {found[-5:]}"
            )
            assert_honest_clients_get_events_soon(worker, address)
