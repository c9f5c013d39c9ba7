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


PAIRS: Final = (Pair("gthread", "detached", threads=4), Pair("gthread", "wsgi", threads=8))


@pytest.mark.timeout(STAYS + 60)
@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_a_steady_reader_stays_and_one_that_takes_nothing_goes(new_worker: NewWorker, pair: Pair) -> None:
    worker = new_worker(
        pair,
        slow_client_policy="tests.abuse.app:STRICT",
        wsgi_slots=4,
        tcp_user_timeout=2.0,
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


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_a_steady_reader_of_what_the_system_could_hold_stays(new_worker: NewWorker, pair: Pair) -> None:
    worker = new_worker(pair, tcp_user_timeout=2.0)
    worker.batch("news", ["x" * 8_000] * 20)
    with ask(worker.address, worker.path("news")) as reader:
        began, taken = time.monotonic(), 0
        while taken < 65_536:
            taken += _read(reader, int((time.monotonic() - began) * SPEEDS[0] * 1024) - taken)
            time.sleep(0.02)
        assert worker.stats().clients == 1


BURSTS: Final = {"taken at once": 1, "taken in pieces": 3}
"""How many events of 20,000 characters the system holds for a client that doesn't read."""


@pytest.mark.parametrize("count", BURSTS.values(), ids=BURSTS)
def test_of_a_burst_that_the_system_holds_the_policy_says_who_is_too_slow(
    new_worker: NewWorker, count: int
) -> None:
    worker = new_worker(PAIRS[0], slow_client_policy="tests.abuse.app:STRICT", tcp_user_timeout=2.0)
    with (
        ask(worker.address, worker.path("news")) as reader,
        ask(worker.address, worker.path("news")) as stuck,
    ):
        eventually(lambda: worker.stats().clients == 2, "both clients")
        worker.batch("news", ["x" * 20_000] * count)
        began, taken, left = time.monotonic(), 0, 0.0
        while (now := time.monotonic() - began) < 2 * PATIENCE:
            taken += _read(reader, int(now * 2_048) - taken)
            if not left and worker.stats().clients == 1:
                left = now
            time.sleep(0.02)
        assert worker.stats().clients == 1
        assert PATIENCE - 1.0 < left < PATIENCE + LATE, "when the one that takes nothing has gone"
        stuck.close()


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
