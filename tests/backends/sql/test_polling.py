"""When the database is asked, where nothing rings."""

from __future__ import annotations

from typing import Any

import pytest

from streamy_core import ConfigError
from streamy_core.broker import PollScheduler
from streamy_core.testing.reading import events, eventually, wait_for_bell

from ..conftest import NewBroker


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
