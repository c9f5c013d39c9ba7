"""Whoever asks for a stream and doesn't read holds no thread that others need.

With `TEST_QUICK`, no view may take as long as it may beside other tests.
"""

from __future__ import annotations

import os
from typing import Final

import pytest

from ..support.app_server import AppServer
from .conftest import WORKERS, NewWorker, assert_honest_clients_get_events_soon, fill, seconds_of_a_view
from .rude import KINDS, Rudeness, rude_clients

pytestmark = pytest.mark.slow

RUDE: Final = 64
"""Clients."""
REQUESTS: Final = 50

QUICK: Final = 0.1 if "TEST_QUICK" in os.environ else 1.0
"""Seconds that a view may take at any rate."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_rude_clients_keep_no_view_waiting(worker: AppServer, kind: Rudeness) -> None:
    fill(worker, "news")
    quiet = seconds_of_a_view(worker.address, REQUESTS)[-1]
    with rude_clients(worker.address, worker.path("news"), kind, RUDE):
        found = seconds_of_a_view(worker.address, REQUESTS)
    assert found[-2] < max(4 * quiet, QUICK), f"quiet at most {quiet:.3f} s; with rude clients {found[-5:]}"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_rude_clients_cost_honest_ones_no_event(worker: AppServer, kind: Rudeness) -> None:
    fill(worker, "news")
    with rude_clients(worker.address, worker.path("news"), kind, RUDE):
        assert_honest_clients_get_events_soon(worker, worker.address)


@pytest.mark.parametrize("pair", WORKERS, ids=str)
def test_clients_beyond_the_limits_keep_no_view_waiting(new_worker: NewWorker, pair: object) -> None:
    worker = new_worker(pair, max_connections=2)
    fill(worker, "news")
    quiet = seconds_of_a_view(worker.address, REQUESTS)[-1]
    with rude_clients(worker.address, worker.path("news"), KINDS[0], RUDE):
        found = seconds_of_a_view(worker.address, REQUESTS)
    assert found[-2] < max(4 * quiet, QUICK), f"quiet at most {quiet:.3f} s; with rude clients {found[-5:]}"
