"""How often and how soon to try again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamy_core.strategies.retry import ExponentialBackoff, FixedDelay, NoRetry

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NAN, INF = float("nan"), float("inf")

seconds = st.floats(0, 1e300)
chances = st.floats(0, 1, exclude_max=True)


def nearly_one() -> float:
    return 1 - 2**-53


def half() -> float:
    return 0.5


# -- exponential backoff


def test_delays_double_up_to_the_ceiling() -> None:
    policy = ExponentialBackoff(retries=6, first=0.5, ceiling=6.0, rng=half)
    assert [policy.delay(attempt) for attempt in range(1, 8)] == [0.25, 0.5, 1.0, 2.0, 3.0, 3.0, None]


@unhurried
@given(st.integers(1, 50), seconds, seconds, chances)
def test_the_jitter_is_full_from_0_to_the_cap(
    attempt: int, first: float, ceiling: float, chance: float
) -> None:
    policy = ExponentialBackoff(retries=50, first=first, ceiling=ceiling, rng=lambda: chance)
    delay = policy.delay(attempt)
    assert delay == pytest.approx(min(ceiling, first * 2.0 ** (attempt - 1)) * chance)
    assert 0 <= delay <= ceiling


def test_without_a_chance_of_the_callers_delays_differ() -> None:
    assert len({ExponentialBackoff().delay(1) for _ in range(20)}) > 1


@pytest.mark.parametrize("attempt", [1_000, 1_025, 10**9, 10**400], ids=["1000", "1025", "1e9", "1e400"])
def test_a_huge_attempt_waits_for_the_ceiling_and_does_not_overflow(attempt: int) -> None:
    policy = ExponentialBackoff(retries=10**500, first=1e-9, ceiling=60.0, rng=nearly_one)
    assert policy.delay(attempt) == pytest.approx(60.0)


@pytest.mark.parametrize("retries", [0, 1, 5])
@pytest.mark.parametrize("make", [ExponentialBackoff, FixedDelay])
def test_it_gives_up_after_so_many_retries(make: Any, retries: int) -> None:
    delays = [make(retries=retries).delay(attempt) for attempt in range(1, retries + 3)]
    assert [delay is None for delay in delays] == [False] * retries + [True, True]


# -- the others


@pytest.mark.parametrize("delay", [0, 0.5, 2])
def test_a_fixed_delay_is_always_the_same(delay: float) -> None:
    policy = FixedDelay(delay, retries=3)
    assert [policy.delay(attempt) for attempt in (1, 2, 3)] == [delay] * 3


@pytest.mark.parametrize("attempt", [1, 2, 10**9])
def test_no_retry_gives_up_at_once(attempt: int) -> None:
    assert NoRetry().delay(attempt) is None


# -- what can't be


@pytest.mark.parametrize("wrong", [-1, -0.1, INF, -INF, NAN], ids=repr)
@pytest.mark.parametrize(
    ("make", "field"),
    [(ExponentialBackoff, "first"), (ExponentialBackoff, "ceiling"), (FixedDelay, "seconds")],
)
def test_a_delay_that_can_not_be_waited_for_is_refused(make: Any, field: str, wrong: float) -> None:
    with pytest.raises(ValueError, match=f"a delay is 0 or more seconds, not {wrong!r}"):
        make(**{field: wrong})


@pytest.mark.parametrize("wrong", [-1, NAN], ids=repr)
@pytest.mark.parametrize("make", [ExponentialBackoff, FixedDelay])
def test_a_number_of_retries_that_never_comes_is_refused(make: Any, wrong: float) -> None:
    with pytest.raises(ValueError, match=f"retries is 0 or more, not {wrong!r}"):
        make(retries=wrong)


def test_policies_are_frozen_and_equal_by_what_they_say() -> None:
    assert ExponentialBackoff(rng=half) == ExponentialBackoff(rng=nearly_one) != ExponentialBackoff(retries=4)
    with pytest.raises(AttributeError):
        ExponentialBackoff().retries = 5  # type: ignore[misc]
