"""What expires does so in time: never late, and not much early."""

from __future__ import annotations

import random

from streamy_core.delivery.detached.timers import Expiries, Timers


def test_nothing_expires_later_than_it_should_and_little_earlier() -> None:
    now = 1_000.3
    timers = Timers(lambda: now)
    at: dict[int, float] = {}
    expiries: Expiries[int] = Expiries(timers, lambda item: at.setdefault(item, now))
    chance = random.Random(1)
    due = {item: chance.uniform(0.0, 5.0) for item in range(500)}
    for item, seconds in due.items():
        expiries.add(item, seconds)
    start = now
    while len(at) < len(due):
        now += timers.due_in() or 0.0
        timers.run()
    early = [start + seconds - at[item] for item, seconds in due.items()]
    assert min(early) >= -1e-6
    assert max(early) <= 1 / 8
