"""When clients are told to come back: the more are told at once, the longer it takes until all have."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from streamy_core import StreamManager
from streamy_core.delivery.limits import Limits
from streamy_core.observers import DisconnectReason

from ..support.event_stream import parse_rest
from .terms import terms_of

Delays = Callable[[int, DisconnectReason], list[float]]


@pytest.fixture
def sse() -> Iterator[StreamManager]:
    with StreamManager(broker="memory://") as sse:
        yield sse


@pytest.fixture
def delays(sse: StreamManager) -> Delays:
    """The seconds that so many clients are told to wait that go at once."""

    def told(clients: int, reason: DisconnectReason) -> list[float]:
        limits = Limits(most=None, per_key=None)
        for _ in range(clients):
            limits.acquire(None)
        limits.note_leaving()
        terms = terms_of(sse, limits, reconnect_delay=3.0)
        found: list[float] = []
        for _ in range(clients):
            retry = parse_rest(terms.last_bytes(reason)).retry
            assert retry is not None
            found.append(retry / 1000)
            limits.release(None)  # as each goes, the others' time stays
        return found

    return told


@pytest.mark.parametrize(
    "reason", [DisconnectReason.SHUTDOWN, DisconnectReason.DISCONNECTED, DisconnectReason.REVOKED]
)
def test_a_crowd_comes_back_at_a_rate_that_a_worker_can_take(
    delays: Delays, reason: DisconnectReason
) -> None:
    told = delays(10_000, reason)
    assert min(told) >= 1.5
    assert 20 < max(told) <= 21.5
    busiest = max(sum(second <= delay < second + 1 for delay in told) for second in range(22))
    assert busiest < 700


def test_a_few_are_not_kept_waiting(delays: Delays) -> None:
    told = delays(100, DisconnectReason.SHUTDOWN)
    assert (min(told) >= 1.5, max(told) <= 4.5) == (True, True)


def test_a_user_who_is_disconnected_is_not_kept_waiting_by_others(sse: StreamManager) -> None:
    limits = Limits(most=None, per_key=None)
    for key in (*[None] * 5_000, "user:7"):
        limits.acquire(key)
    limits.note_leaving("user:7")
    terms = terms_of(sse, limits, reconnect_delay=3.0)
    told = [parse_rest(terms.last_bytes(DisconnectReason.DISCONNECTED)).retry for _ in range(200)]
    assert max(retry or 0 for retry in told) <= 4_500


def test_one_whose_time_is_over_is_not_kept_waiting_by_others(delays: Delays) -> None:
    assert max(delays(5_000, DisconnectReason.EXPIRED)) <= 4.5
