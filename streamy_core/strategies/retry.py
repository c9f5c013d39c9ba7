"""How often and how soon to try again: small strategy objects, stateless and frozen.

Any object with `delay` is a retry policy.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

_LONGEST: Final = 3_600.0

logger: Final = logging.getLogger("streamy.retry")


@runtime_checkable
class RetryPolicy(Protocol):
    """Decides how long to wait before trying again."""

    def delay(self, attempt: int) -> float | None:
        """Seconds to wait after the `attempt`-th failure in a row (from 1); None: give up. Any thread."""


def delay_after(policy: RetryPolicy, attempt: int) -> float | None:
    """What the policy says, within bounds. A policy that fails gives up, which is logged."""
    try:
        delay = policy.delay(attempt)
        return None if delay is None or math.isnan(delay) else min(max(float(delay), 0.0), _LONGEST)
    except Exception:
        logger.exception("the retry policy failed")
        return None


@dataclass(frozen=True, slots=True)
class ExponentialBackoff:
    """Doubling delays with full jitter: between 0 and `first * 2 ** (attempt - 1)`, at most `ceiling`.

    retries: how often to try again before giving up.
    first, ceiling: seconds.
    rng: a number in [0, 1); injected by tests.
    """

    retries: int = 3
    first: float = 0.1
    ceiling: float = 5.0
    rng: Callable[[], float] = field(default=random.random, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self.retries, self.first, self.ceiling)

    def delay(self, attempt: int) -> float | None:
        if attempt > self.retries:
            return None
        # The exponent is bounded because a float overflows at 2 ** 1024.
        return float(min(self.ceiling, self.first * 2.0 ** min(attempt - 1, 64)) * self.rng())


@dataclass(frozen=True, slots=True)
class FixedDelay:
    """The same delay, `seconds`, before each of `retries` further attempts."""

    seconds: float = 0.5
    retries: int = 3

    def __post_init__(self) -> None:
        _check(self.retries, self.seconds)

    def delay(self, attempt: int) -> float | None:
        return self.seconds if attempt <= self.retries else None


@dataclass(frozen=True, slots=True)
class NoRetry:
    """One attempt and no more."""

    def delay(self, attempt: int) -> float | None:
        return None


def _check(retries: int, *seconds: float) -> None:
    if not retries >= 0:
        raise ValueError(f"retries is 0 or more, not {retries!r}")
    for value in seconds:
        if not 0 <= value < float("inf"):
            raise ValueError(f"a delay is 0 or more seconds, not {value!r}")
