"""When an idle connection gets a comment."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamy_core.strategies.keepalive import FixedInterval, Jittered, Never

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(("idle", "due"), [(0, 30), (10, 20), (30, 0), (31, -1)])
def test_a_fixed_interval_counts_from_the_last_write(idle: float, due: float) -> None:
    assert FixedInterval(30).due_in(idle) == due


@pytest.mark.parametrize(("chance", "due"), [(0.0, 100), (0.5, 85), (1 - 2**-53, 70)])
def test_jitter_comes_early_by_up_to_its_spread(chance: float, due: float) -> None:
    assert Jittered(100, spread=0.3, rng=lambda: chance).due_in(0) == pytest.approx(due)


@unhurried
@given(st.floats(1e-3, 1e6), st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_jitter_stays_between_its_bounds_and_is_due_in_time(
    seconds: float, spread: float, chance: float
) -> None:
    due = Jittered(seconds, spread, rng=lambda: chance).due_in(0)
    assert due is not None
    assert 0 < due <= seconds
    assert due >= seconds * (1 - spread) * (1 - 1e-9)


@unhurried
@given(st.floats(0, 1e6))
def test_jitter_counts_from_the_last_write(idle: float) -> None:
    assert Jittered(100, rng=lambda: 0.0).due_in(idle) == 100 - idle


def test_without_a_chance_of_the_callers_clients_do_not_wake_at_once() -> None:
    assert len({Jittered().due_in(0) for _ in range(20)}) > 1


@pytest.mark.parametrize("idle", [0, 1e9])
def test_never_is_never_due(idle: float) -> None:
    assert Never().due_in(idle) is None


@pytest.mark.parametrize("seconds", [0, -1, INF, NAN], ids=repr)
@pytest.mark.parametrize("make", [FixedInterval, Jittered])
def test_an_interval_that_can_not_be_waited_for_is_refused(make: Any, seconds: float) -> None:
    with pytest.raises(ValueError, match=f"a keep-alive interval is more than 0 seconds, not {seconds!r}"):
        make(seconds)


@pytest.mark.parametrize("spread", [-0.1, 1, 2, INF, NAN], ids=repr)
def test_a_spread_that_would_leave_no_interval_is_refused(spread: float) -> None:
    with pytest.raises(ValueError, match=f"spread is from 0 to less than 1, not {spread!r}"):
        Jittered(spread=spread)


def test_schedulers_are_frozen_and_equal_by_what_they_say() -> None:
    assert Jittered(rng=lambda: 0.1) == Jittered(rng=lambda: 0.2) != Jittered(31)
    with pytest.raises(AttributeError):
        FixedInterval().seconds = 5  # type: ignore[misc]
