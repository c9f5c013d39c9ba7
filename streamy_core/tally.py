"""Counts what happens too often to be logged each time."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Hashable


class Tally:
    """See the module. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Hashable, int] = {}
        self._told_at: dict[Hashable, float] = {}

    def count(self, what: Hashable, every: float) -> int:
        """It has happened once more. How often since that was last told, if it is to be told now; else 0.

        what:  one of a few things.
        every: seconds between two times that it is told.
        """
        now = time.monotonic()
        with self._lock:
            count = self._counts[what] = self._counts.get(what, 0) + 1
            if now - self._told_at.get(what, -math.inf) < every:
                return 0
            self._told_at[what], self._counts[what] = now, 0
            return count
