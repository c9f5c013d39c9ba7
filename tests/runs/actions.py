"""What other processes do for tests of runs: each an action of `streamy_core.testing.processes`."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from streamy_core import RunExists, StreamManager
from streamy_core.testing.processes import Here

_managers: dict[int, StreamManager] = {}


def manager(here: Here) -> StreamManager:
    """The one of this process."""
    return _managers.setdefault(id(here.broker), StreamManager(broker=here.broker, run_threads=10_000))


def tokens(count: int, pause: float) -> Iterator[str]:
    for number in range(count):
        yield f"{number} "
        time.sleep(pause)


def produce(here: Here, stream_id: str, lease: float, count: int, pause: float) -> str | None:
    """Run a run of so many tokens, once the test lets go. How it ended."""
    sse = manager(here)
    here.wait()
    run = sse.start_run(stream_id, tokens(count, pause), lease=lease, coalesce=random.choice([None, 0.02]))
    outcome = run.wait(60)
    return None if outcome is None else outcome.value


def produce_at_once(here: Here, names: list[str], count: int) -> list[tuple[str | None, int]]:
    """Run short runs one after the other: how each ended, and how many tokens it has yielded."""
    sse = manager(here)
    here.wait()
    found: list[tuple[str | None, int]] = []
    for name in names:
        yielded: list[str] = []

        def counted(yielded: list[str] = yielded) -> Iterator[str]:
            for token in tokens(count, random.random() * 0.004):
                yielded.append(token)
                yield token

        outcome = sse.start_run(name, counted(), coalesce=random.choice([None, 0.01])).wait(30)
        found.append((None if outcome is None else outcome.value, len(yielded)))
    return found


def start_each(here: Here, names: list[str], who: str) -> list[str]:
    """Start a run of each name that yields who this is. Those that are ours."""
    sse = manager(here)
    here.wait()
    ours: list[str] = []
    for name in names:
        try:
            run = sse.start_run(name, [who])
        except RunExists:
            continue
        run.wait(30)
        ours.append(name)
    return ours
