"""When an idle connection gets a comment, so that proxies keep it and dead clients are found.

Any object with `due_in` is a keep-alive scheduler. A scheduler is a rule, not a thread: whoever
owns connections asks it what it says of one just written to, and asks again when that time is over.
What it says then counts from the last write.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

_SHORTEST: Final = 0.01
_USUAL: Final = 30.0
_LONGEST: Final = 86_400.0

logger: Final = logging.getLogger("streamy.keepalive")


@runtime_checkable
class KeepAliveScheduler(Protocol):
    """Decides when a keep-alive is due."""

    def due_in(self, idle: float) -> float | None:
        """Seconds until the next keep-alive of a connection that has been idle for `idle` seconds.

        0 or less: now; None: never. Any thread.
        """


def due_after_write(scheduler: KeepAliveScheduler) -> float | None:
    """Seconds until the next keep-alive of a connection that has just been written to; None: never.

    Whatever the scheduler does: an error is logged and means the usual interval, too little or too
    much is brought within bounds.
    """
    try:
        due = scheduler.due_in(0.0)
        if due is None or not math.isfinite(due):
            return None
        return min(max(float(due), _SHORTEST), _LONGEST)
    except Exception:
        logger.exception("the keep-alive scheduler failed")
        return _USUAL


def longest_silence(scheduler: KeepAliveScheduler | None) -> float | None:
    """After how many seconds at most it is due for a keep-alive, for ours; None: never, or nobody knows."""
    return scheduler.seconds if isinstance(scheduler, FixedInterval | Jittered) else None


@dataclass(frozen=True, slots=True)
class FixedInterval:
    """One after every `seconds` without another write."""

    seconds: float = 30.0

    def __post_init__(self) -> None:
        _check(self.seconds)

    def due_in(self, idle: float) -> float | None:
        return self.seconds - idle


@dataclass(frozen=True, slots=True)
class Jittered:
    """One after `seconds`, less up to `spread` of it by chance, so that clients don't all wake at once.

    rng: a number in [0, 1); injected by tests.
    """

    seconds: float = 30.0
    spread: float = 0.2
    rng: Callable[[], float] = field(default=random.random, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self.seconds)
        if not 0 <= self.spread < 1:
            raise ValueError(f"spread is from 0 to less than 1, not {self.spread!r}")

    def due_in(self, idle: float) -> float | None:
        return self.seconds * (1 - self.spread * self.rng()) - idle


@dataclass(frozen=True, slots=True)
class Never:
    """None at all. Proxies will close idle connections, and dead clients stay until the next event."""

    def due_in(self, idle: float) -> float | None:
        return None


def _check(seconds: float) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ValueError(f"a keep-alive interval is a number of seconds, not {seconds!r}")
    if not 0 < seconds < float("inf"):
        raise ValueError(f"a keep-alive interval is more than 0 seconds, not {seconds!r}")
