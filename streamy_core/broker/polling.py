"""When a watch that polls asks what has grown."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from ..errors import ConfigError


@runtime_checkable
class PollScheduler(Protocol):
    """Decides how long to wait between two looks at the backend. Asked from one thread."""

    def due_in(self, idle: float) -> float:
        """Seconds until the next look, when nothing has been found to grow for `idle` seconds.

        Where a bell tells what has grown, it is asked as if nothing had for a day.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class AdaptivePolling:
    """Looks often while events come, and ever more seldom while none do.

    floor:   the shortest interval, in seconds.
    ceiling: the longest.
    share:   in between, this share of the time for which nothing came: 0.1 finds an event at the
             latest when the silence before it has become a tenth longer.
    jitter:  up to this share is taken off by chance, so that processes don't ask in step.
    """

    floor: float = 0.05
    ceiling: float = 1.0
    share: float = 0.1
    jitter: float = 0.1
    chance: Callable[[], float] = field(default=random.random, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.floor <= self.ceiling <= 3_600:
            raise ConfigError(
                f"polling goes from a floor above 0 to a ceiling of an hour at most, not from {self.floor!r} "
                f"to {self.ceiling!r} seconds"
            )
        if not (self.share >= 0 and 0 <= self.jitter < 1):
            raise ConfigError("polling has a share of 0 or more, and a jitter from 0 to less than 1")

    def due_in(self, idle: float) -> float:
        interval = min(max(idle * self.share, self.floor), self.ceiling)
        return interval * (1 - self.jitter * self.chance())


@dataclass(frozen=True, slots=True)
class FixedPolling:
    """Looks every `interval` seconds."""

    interval: float

    def __post_init__(self) -> None:
        if not 0 < self.interval <= 3_600:
            raise ConfigError(
                f"a polling interval lies above 0 and within an hour, not {self.interval!r} seconds"
            )

    def due_in(self, idle: float) -> float:
        return self.interval
