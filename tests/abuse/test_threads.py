"""Whoever asks for a stream and doesn't read holds no thread that others need."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from ..support.app_server import AppServer
from ..support.crowd import Crowd, Record
from .conftest import WORKERS, NewWorker, fill, seconds_of_a_view
from .rude import KINDS, Rudeness, rude_clients

pytestmark = pytest.mark.slow

RUDE, HONEST = 64, 10
"""Clients."""
EVENTS, REQUESTS = 10, 50
LATE: Final = 1.0

QUICK: Final = 0.1
"""Seconds that a view may take at any rate, on a machine that runs other tests."""


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
    record = Record()
    with (
        rude_clients(worker.address, worker.path("news"), kind, RUDE),
        Crowd(worker.address, worker.path("live"), HONEST, record) as crowd,
        ThreadPoolExecutor(1) as pool,
    ):
        # Where threads are few, honest clients poll, too: they are never all connected at once.
        crowd.run_until(lambda: all(source.last_id for source in crowd.sources), "everybody served once")
        for number in range(EVENTS):
            pool.submit(worker.send, "live", str(number)).result()
            began = time.monotonic()
            crowd.run_until(
                lambda: all(len(record.data(source)) > number for source in crowd.sources),  # noqa: B023
                f"event {number} at all honest clients",
            )
            assert time.monotonic() - began < LATE
        assert [record.data(source) for source in crowd.sources] == [
            [str(number) for number in range(EVENTS)]
        ] * HONEST


@pytest.mark.parametrize("pair", WORKERS, ids=str)
def test_clients_beyond_the_limits_keep_no_view_waiting(new_worker: NewWorker, pair: object) -> None:
    worker = new_worker(pair, max_connections=2)
    fill(worker, "news")
    quiet = seconds_of_a_view(worker.address, REQUESTS)[-1]
    with rude_clients(worker.address, worker.path("news"), KINDS[0], RUDE):
        found = seconds_of_a_view(worker.address, REQUESTS)
    assert found[-2] < max(4 * quiet, QUICK), f"quiet at most {quiet:.3f} s; with rude clients {found[-5:]}"
