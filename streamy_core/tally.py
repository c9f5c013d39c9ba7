"""Counts what happens often, so that a line of the log says now and then how often it did."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Hashable
from typing import Final

from .errors import BrokerUnavailable

LOGGED_EVERY: Final = 60.0
"""Seconds between two lines about the same, where people have to do something."""


class Tally:
    """See the module. Any thread. now: the time in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._counts: dict[Hashable, int] = {}
        self._told_at: dict[Hashable, float] = {}

    def count(self, what: Hashable, every: float = LOGGED_EVERY) -> int:
        """It has happened once more. How often since that was last told, if it is to be told now; else 0.

        what:  one of a few things.
        every: seconds between two times that it is told.
        """
        now = self._now()
        with self._lock:
            count = self._counts[what] = self._counts.get(what, 0) + 1
            if now - self._told_at.get(what, -math.inf) < every:
                return 0
            self._told_at[what], self._counts[what] = now, 0
            return count

    def log_failure(self, logger: logging.Logger, message: str, error: Exception) -> None:
        """It has failed once more: a line now and then says so, as a warning if the broker is away.

        message: with a place for how often since it was last said, and one for the error.
        """
        if count := self.count("failures"):
            level = logging.WARNING if isinstance(error, BrokerUnavailable) else logging.ERROR
            logger.log(level, message, count, error)
