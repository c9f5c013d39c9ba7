"""When the database is asked, by the clock alone."""

from __future__ import annotations

from typing import Any

import pytest

from streamy_core import ConfigError
from streamy_core.broker import AdaptivePolling, FixedPolling, PollScheduler
from streamy_core.testing.reading import events, eventually, wait_for_bell

from .conftest import NewBroker


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


@pytest.mark.parametrize("options", [{"poll_floor": 2.0, "poll_ceiling": 1.0}, {"poll_ceiling": 4_000}])
def test_a_broker_refuses_such_options(options: dict[str, Any], url: str, new_broker: NewBroker) -> None:
    with pytest.raises(ConfigError, match="polling"):
        new_broker(url, **options)


def test_a_broker_refuses_a_scheduler_that_is_none(url: str, new_broker: NewBroker) -> None:
    with pytest.raises(ConfigError, match="PollScheduler"):
        new_broker(url, polling=5.0)


class Noting:
    """A scheduler of the user's: keeps what it is asked."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.asked: list[float] = []

    def due_in(self, idle: float) -> float:
        self.asked.append(idle)
        return self.interval


@pytest.fixture
def noting() -> Noting:
    return Noting(0.02)


def test_a_scheduler_of_the_users_is_one(noting: Noting) -> None:
    assert isinstance(noting, PollScheduler)


def test_a_scheduler_of_the_users_says_when_to_look(noting: Noting, url: str, new_broker: NewBroker) -> None:
    polling = {"polling": noting, "poll_floor": 60.0, "poll_ceiling": 60.0}
    watch = new_broker(url, **polling, **without_bell(url)).watch()
    watch.add("news")
    assert not watch.wait(0)
    new_broker(url).append("news", events("a"))
    wait_for_bell(watch, "news")
    assert len(noting.asked) >= 2


def test_it_is_asked_with_the_time_for_which_nothing_came(
    noting: Noting, shared: Any, new_broker: Any
) -> None:
    broker, other = new_broker(shared("mariadb").url, polling=noting), new_broker(shared("mariadb").url)
    watch = broker.watch()
    watch.add("news")
    eventually(lambda: not watch.wait(0.05) and noting.asked[-1] > 0.2, "some silence")
    assert noting.asked == sorted(noting.asked), "the silence only grows"
    other.append("news", events("a"))
    wait_for_bell(watch, "news")
    assert noting.asked[-1] == 0


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_with_a_bell_it_is_asked_for_the_longest_interval_only(
    noting: Noting, kind: str, url_of: Any, new_broker: NewBroker
) -> None:
    broker = new_broker(url_of(kind), polling=noting)
    watch = broker.watch()
    watch.add("news")
    broker.append("news", events("a"))
    wait_for_bell(watch, "news")
    watch.wait(0.1)
    assert set(noting.asked) == {86_400.0}


def without_bell(url: str) -> dict[str, bool]:
    return {"notify": False} if url.startswith("postgresql") else {}


def test_a_wait_ends_at_its_timeout_though_the_next_look_is_far(url: str, new_broker: NewBroker) -> None:
    watch = new_broker(url, poll_floor=60.0, poll_ceiling=60.0, **without_bell(url)).watch()
    watch.add("news")
    assert not watch.wait(0)
    assert not watch.wait(0.05)


def test_an_interval_stays_one_however_long_nothing_came() -> None:
    for idle in (0.0, 86_400.0):
        assert 0 < AdaptivePolling(share=0, jitter=0).due_in(idle) <= 1.0
