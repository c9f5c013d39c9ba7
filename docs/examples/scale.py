"""What so many clients need, by the figures of "What it costs": `python scale.py --clients 1000000`.

It counts; and it plays, second by second, how the clients of a lost zone come back. Give your own figures.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Costs:
    """Of one core, in microseconds, and in memory."""

    delivery_us: float = 9.1  # to a client of a shared stream and one of its own
    event_us: float = 230.0  # to hear of an event, read and encode it, in each worker that has its stream
    connect_us: float = 400.0  # to take a client back: request, view, where it was
    client_kib: float = 1.4
    socket_kib: float = 4.0  # the kernel's, for a connection that is silent
    append_us: float = 25.0  # of Redis, for the script that stores an event and rings
    bell_us: float = 3.0  # of Redis, for each worker that hears it


@dataclass(frozen=True)
class Load:
    """What there is to do. Rates are in events a second."""

    clients: int = 1_000_000
    shared_rate: float = 1.0  # on one stream that everybody reads
    personal_rate: float = 10_000.0  # on the clients' own streams, in all
    life_s: float = 600.0  # how long a connection lasts
    busy: float = 0.5  # how much of a core is to be used, so that there is room


@dataclass(frozen=True)
class Plan:
    """What that takes."""

    workers: int
    clients_a_worker: int
    memory_gib: float
    redis_cores: float
    hot_stream_rate: float

    @classmethod
    def of(cls, load: Load, costs: Costs) -> Plan:
        """By the work of the clients; each worker does its own part of hearing the shared stream, too."""
        deliveries = load.clients * load.shared_rate + load.personal_rate
        work = deliveries * costs.delivery_us + load.personal_rate * costs.event_us
        work += load.clients / load.life_s * costs.connect_us
        for_each = 1e6 * load.busy - load.shared_rate * costs.event_us
        workers = max(1, math.ceil(work / for_each))
        to_all = costs.append_us + workers * costs.bell_us
        redis = load.shared_rate * to_all + load.personal_rate * (costs.append_us + costs.bell_us)
        return cls(
            workers=workers,
            clients_a_worker=math.ceil(load.clients / workers),
            memory_gib=load.clients * (costs.client_kib + costs.socket_kib) / 2**20,
            redis_cores=redis / 1e6,
            hot_stream_rate=1e6 * load.busy / to_all,
        )


@dataclass(frozen=True)
class Second:
    """Of a zone's clients: how many came in this second, and how many are still away after it."""

    came: int
    away: int


def zone_lost(plan: Plan, costs: Costs, *, zones: int = 3, retry_s: float = 3.0) -> Iterator[Second]:
    """How the clients of one of the zones come back to the workers of the others.

    Nobody told them to go: each asks again after half to one and a half times `retry_s`, as streamy.js
    does. A worker that can't take one in time refuses it, and that one waits twice as long.
    """
    lost = plan.workers // zones or 1
    left = max(1, plan.workers - lost)
    can_take = left * 1e6 / costs.connect_us
    waiting = {0: float(lost * plan.clients_a_worker)}  # by how often they were refused
    due: dict[int, dict[int, float]] = {}
    second = 0
    for attempt, count in waiting.items():
        _spread(due, second, attempt, count, retry_s)
    away = sum(waiting.values())
    while away >= 1 and second < 600:
        coming = due.pop(second, {})
        asked = sum(coming.values())
        share = min(1.0, can_take / asked) if asked else 1.0
        for attempt, count in coming.items():
            longer = min(retry_s * 2 ** (attempt + 1), 60.0)
            _spread(due, second + 1, attempt + 1, count * (1 - share), longer)
        away -= asked * share
        yield Second(round(asked * share), round(away))
        second += 1


def _spread(due: dict[int, dict[int, float]], now: int, attempt: int, count: float, delay: float) -> None:
    """These come over the seconds from half the delay to one and a half."""
    if count <= 0:
        return
    seconds = range(now + int(delay / 2), now + max(int(delay / 2) + 1, math.ceil(1.5 * delay)))
    for second in seconds:
        at = due.setdefault(second, {})
        at[attempt] = at.get(attempt, 0.0) + count / len(seconds)


def report(load: Load, costs: Costs) -> str:
    """All of it, as text."""
    plan = Plan.of(load, costs)
    seconds = list(zone_lost(plan, costs))
    return "\n".join(
        [
            f"clients                                    {load.clients:>12,}",
            f"workers, a core each, half of it used      {plan.workers:>12,}",
            f"clients of a worker                        {plan.clients_a_worker:>12,}",
            f"memory for clients, in all                 {plan.memory_gib:>8.1f} GiB",
            f"Redis                                      {plan.redis_cores:>6.2f} cores",
            f"most events a second on the shared stream  {plan.hot_stream_rate:>12,.0f}",
            f"a zone of three is lost: all back after    {len(seconds):>10} s",
            f"  most that come in one second             {max(second.came for second in seconds):>12,}",
        ]
    )


def given(about: str, *kinds: Any) -> list[Any]:
    """One of each kind, by the options of the command line, of which each field has one."""
    parser = argparse.ArgumentParser(description=about)
    for each in (each for kind in kinds for each in fields(kind)):
        name = f"--{each.name.replace('_', '-')}"
        parser.add_argument(name, type=type(each.default), default=each.default)
    values = vars(parser.parse_args())
    return [kind(**{each.name: values[each.name] for each in fields(kind)}) for kind in kinds]


def main() -> None:
    print(report(*given(__doc__, Load, Costs)))


if __name__ == "__main__":
    main()
