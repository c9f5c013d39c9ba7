"""A thread that doesn't come round is found by whoever looks, at no cost to it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from streamy_core.engine.hub import Hub
from streamy_core.engine.pulse import Pulse
from streamy_core.engine.reader import Reader
from streamy_core.strategies import FixedDelay
from streamy_core.testing import ManualClock
from streamy_core.testing.reading import DEADLINE, events, eventually

from .doubles import FaultyBroker


def test_it_is_overdue_from_the_moment_on_that_was_said() -> None:
    clock = ManualClock()
    pulse = Pulse(clock)
    assert (pulse.at_rest, pulse.overdue()) == (True, 0.0)
    pulse.expect(5.0)
    clock.advance(4.0)
    assert (pulse.at_rest, pulse.overdue()) == (False, 0.0)
    clock.advance(3.0)
    assert pulse.overdue() == 2.0
    pulse.rest()
    clock.advance(1e6)
    assert (pulse.at_rest, pulse.overdue()) == (True, 0.0)


def test_a_hub_that_waits_for_bells_is_not_stuck(broker: FaultyBroker, make_hub: Callable[..., Hub]) -> None:
    clock = ManualClock()
    hub = make_hub(clock=clock, watchdog=30.0)
    assert hub.stuck_for == 0.0
    Reader.open(hub, {"news": None}).attach(lambda: None)
    eventually(lambda: broker.reads, "it reads what it was told of")
    clock.advance(29.0)
    eventually(lambda: hub.stuck_for == 0.0, "it waits for bells")


def test_a_hub_whose_thread_is_held_is_stuck_for_so_long(
    broker: FaultyBroker, make_hub: Callable[..., Hub]
) -> None:
    clock = ManualClock()
    hub = make_hub(clock=clock)
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        over.wait(DEADLINE)

    Reader.open(hub, {"news": None}).attach(hold)
    broker.append("news", events("a"))
    assert held.wait(DEADLINE)
    clock.advance(61.0)
    assert hub.stuck_for == 61.0
    over.set()
    eventually(lambda: hub.stuck_for == 0.0, "it comes round")


def test_a_hub_that_fails_says_since_when_and_is_not_stuck(
    broker: FaultyBroker, make_hub: Callable[..., Hub]
) -> None:
    clock = ManualClock()
    hub = make_hub(clock=clock)
    reader = Reader.open(hub, {"news": None})
    broker.away.set()
    reader.attach(lambda: None)
    eventually(lambda: hub.health.failing, "it fails")
    clock.advance(12.0)
    failures = hub.health.failures
    eventually(lambda: hub.health.failures > failures + 1, "it tries again")
    assert hub.failing_for == hub.health.failing_for == 12.0
    assert hub.stuck_for == 0.0
    broker.away.clear()
    eventually(lambda: not hub.health.failing, "it reads again")
    assert hub.failing_for == hub.health.failing_for == 0.0


def test_a_hub_that_waits_before_it_tries_again_is_not_stuck(
    broker: FaultyBroker, make_hub: Callable[..., Hub]
) -> None:
    clock = ManualClock()
    hub = make_hub(clock=clock, retry=FixedDelay(30.0, retries=1000))
    reader = Reader.open(hub, {"news": None})
    broker.away.set()
    reader.attach(lambda: None)
    eventually(lambda: hub.health.failing, "it fails")
    clock.advance(29.0)
    eventually(lambda: hub.stuck_for == 0.0, "it waits")
