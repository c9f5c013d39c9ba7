"""Counts what happens often, so that a line of the log says now and then how often it did."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final

LOGGED_EVERY: Final = 60.0
"""Seconds between two lines about the same, where people have to do something."""


class Tally:
    """See the module. Any thread.

    every: seconds between two lines.
    now:   the time in seconds.
    """

    def __init__(self, every: float = LOGGED_EVERY, now: Callable[[], float] = time.monotonic) -> None:
        self._every = every
        self._now = now
        self._lock = threading.Lock()
        self._count = 0
        self._said_at = -math.inf

    def add(self) -> int:
        """Count once more. Returns how often it has happened since it was last said; 0: don't say it now."""
        with self._lock:
            self._count += 1
            if self._now() - self._said_at < self._every:
                return 0
            self._said_at = self._now()
            count, self._count = self._count, 0
            return count
