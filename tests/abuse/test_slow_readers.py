"""Who reads steadily stays, however slowly; who takes nothing goes in time."""

from __future__ import annotations

import os
import socket
import time
from typing import Final

import pytest

from streamy_core.testing.reading import eventually

from ..support.web_server import Pair
from .conftest import NewWorker
from .rude import ask

pytestmark = pytest.mark.slow

SPEEDS: Final = (8, 40)
"""KiB a second."""
STAYS: Final = float(os.environ.get("TEST_SLOW_READERS", "20"))
"""Seconds; TEST_SLOW_READERS=120 asks for more than a run in CI."""
PATIENCE: Final = 5.0
"""Of the policy, in seconds."""
LATE: Final = 4.0


@pytest.mark.parametrize(
    "pair", [Pair("gthread", "detached", threads=4), Pair("gthread", "wsgi", threads=8)], ids=str
)
def test_a_steady_reader_stays_and_one_that_takes_nothing_goes(new_worker: NewWorker, pair: Pair) -> None:
    worker = new_worker(
        pair,
        slow_client_policy="tests.abuse.app:STRICT",
        wsgi_slots=4,
        broker_url=f"memory://?history=10000&history_bytes={64 * 2**20}",
    )
    for _ in range(8):
        worker.batch("news", ["x" * 8_000] * 128)
    readers = {speed: ask(worker.address, worker.path("news")) for speed in SPEEDS}
    stuck = ask(worker.address, worker.path("news"))
    eventually(lambda: worker.stats().clients == len(SPEEDS) + 1, "all clients")
    began = time.monotonic()
    taken = dict.fromkeys(SPEEDS, 0)
    counts: dict[int, float] = {}
    while (now := time.monotonic() - began) < STAYS:
        counts.setdefault(worker.stats().clients, now)
        for speed, sock in readers.items():
            taken[speed] += _read(sock, int(now * speed * 1024) - taken[speed])
        time.sleep(0.02)
    assert PATIENCE - 1.0 < counts[len(SPEEDS)] < PATIENCE + LATE, "when the one that takes nothing has gone"
    assert worker.stats().clients == len(SPEEDS)
    assert all(taken[speed] > 0.5 * STAYS * speed * 1024 for speed in SPEEDS), taken
    for sock in (*readers.values(), stuck):
        sock.close()


def _read(sock: socket.socket, most: int) -> int:
    """Take so much, if it is there."""
    if most <= 0:
        return 0
    sock.settimeout(0.01)
    try:
        data = sock.recv(most)
    except TimeoutError:
        return 0
    assert data, "the reader was cut off"
    return len(data)
