"""When a watch that polls looks, by the clock alone."""

from __future__ import annotations

from typing import Any

import pytest

from streamy_core import ConfigError
from streamy_core.broker import AdaptivePolling, FixedPolling


def steady(floor: float = 1.0, ceiling: float = 10.0, share: float = 0.1) -> AdaptivePolling:
    return AdaptivePolling(floor, ceiling, share, jitter=0)


@pytest.mark.parametrize("idle", [0.0, 0.1, 5.0, 10.0])
def test_while_events_come_it_looks_at_the_floor(idle: float) -> None:
    assert steady().due_in(idle) == 1.0


@pytest.mark.parametrize("idle", [100.0, 1e6, float("inf")])
def test_after_a_long_silence_it_looks_at_the_ceiling(idle: float) -> None:
    assert steady().due_in(idle) == 10.0


def test_in_between_it_waits_for_a_share_of_the_silence() -> None:
    assert steady().due_in(50.0) == 5.0
    assert steady(share=0.05).due_in(50.0) == 2.5


def test_with_no_share_it_stays_at_the_floor() -> None:
    assert steady(share=0).due_in(1e6) == 1.0


def test_a_floor_that_is_the_ceiling_is_a_fixed_interval() -> None:
    assert {steady(3.0, 3.0).due_in(idle) for idle in (0.0, 30.0, 1e9)} == {3.0}


@pytest.mark.parametrize(("chance", "interval"), [(0.0, 1.0), (0.5, 0.9), (1.0, 0.8)])
def test_chance_takes_off_up_to_the_jitter(chance: float, interval: float) -> None:
    polling = AdaptivePolling(1.0, 10.0, jitter=0.2, chance=lambda: chance)
    assert polling.due_in(0) == pytest.approx(interval)


def test_jitter_is_taken_off_the_ceiling_too() -> None:
    polling = AdaptivePolling(1.0, 10.0, jitter=0.2, chance=lambda: 1.0)
    assert polling.due_in(float("inf")) == pytest.approx(8.0)


def test_by_itself_it_does_not_ask_in_step() -> None:
    assert len({AdaptivePolling().due_in(0) for _ in range(20)}) > 1


@pytest.mark.parametrize(
    "settings",
    [
        {"floor": 0}, {"floor": -1}, {"floor": 2.0, "ceiling": 1.0}, {"ceiling": 3_601}, {"share": -0.1},
        {"floor": float("nan")}, {"ceiling": float("nan")}, {"ceiling": float("inf")}, {"jitter": 1},
        {"share": float("nan")}, {"jitter": -0.1}, {"jitter": float("nan")},
    ],
    ids=str,
)  # fmt: skip
def test_adaptive_polling_refuses_what_makes_no_sense(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="polling"):
        AdaptivePolling(**settings)


def test_fixed_polling_waits_the_same_time_always() -> None:
    assert {FixedPolling(2.5).due_in(idle) for idle in (0.0, 100.0, float("inf"))} == {2.5}


@pytest.mark.parametrize("interval", [0, -1, 3_601, float("nan"), float("inf")])
def test_fixed_polling_refuses_what_makes_no_sense(interval: float) -> None:
    with pytest.raises(ConfigError, match="interval"):
        FixedPolling(interval)


def test_an_interval_stays_one_however_long_nothing_came() -> None:
    for idle in (0.0, 86_400.0):
        assert 0 < AdaptivePolling(share=0, jitter=0).due_in(idle) <= 1.0
