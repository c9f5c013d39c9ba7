"""Whether a thread comes round when it should."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class Pulse:
    """When a thread is to come round at the latest. It says so itself, at no cost; any thread may look.

    clock: tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due_at = math.inf

    @property
    def at_rest(self) -> bool:
        """Whether it isn't to come round at any time."""
        return self._due_at == math.inf

    def expect(self, seconds: float | None = 0.0) -> None:
        """It is to come round in so many seconds; None: it may take any time."""
        self._due_at = math.inf if seconds is None else self._clock() + seconds

    def rest(self) -> None:
        """It has come round, and may take any time until it does again."""
        self.expect(None)

    def overdue(self) -> float:
        """For how many seconds it should have come round; 0 if it needn't have."""
        return max(0.0, self._clock() - self._due_at)
