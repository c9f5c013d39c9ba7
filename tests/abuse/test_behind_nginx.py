"""Behind nginx, which passes on what it is given, rude clients hold no thread that others need either."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.app_server import AppServer
from ..support.certificates import make_certificate
from ..support.nginx import Nginx
from .conftest import fill, seconds_of_a_view
from .rude import KINDS, Rudeness, rude_clients
from .test_threads import QUICK, REQUESTS, RUDE

pytestmark = pytest.mark.slow


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
