"""Events that `send_soon` took, or was to take, and that are not published: counted, told and logged."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from ..errors import StreamyError
from ..observers import DropReason, Observer

_LOGGED_EVERY: Final = 1.0
"""Seconds between two lines: it may be thousands of events."""

logger: Final = logging.getLogger("streamy.outbox")


class Drops:
    """See the module. Any thread. `count` is how many there have been.

    observer: told of each at once.
    """

    def __init__(self, observer: Observer, clock: Callable[[], float] = time.monotonic) -> None:
        self.count: int = 0
        self._observer = observer
        self._clock = clock
        self._lock = threading.Lock()
        self._unsaid: Counter[DropReason] = Counter()
        self._last = ""
        self._said_at = -math.inf

    def add(self, stream_id: str, count: int, reason: DropReason, error: Exception | None = None) -> None:
        """So many events of this stream."""
        with self._lock:
            self.count += count
            self._unsaid[reason] += count
            self._last = repr(stream_id) + _why(error)
        self._observer.dropped(stream_id, count, reason, error)
        if self._clock() >= self._said_at + _LOGGED_EVERY:
            self.say()

    def due(self) -> float | None:
        """When `say` has something to say; None: there is nothing."""
        return self._said_at + _LOGGED_EVERY if self._unsaid else None

    def say(self) -> None:
        """Log what hasn't been logged yet, in one line."""
        with self._lock:
            unsaid, self._unsaid = self._unsaid, Counter()
            self._said_at, last = self._clock(), self._last
        if unsaid:
            why = ", ".join(f"{reason}: {count}" for reason, count in sorted(unsaid.items()))
            logger.error(
                "events that send_soon took and that are lost: %d (%s); the last of stream %s",
                unsaid.total(),
                why,
                last,
                extra={
                    "streamy_event": "dropped",
                    "streamy_count": unsaid.total(),
                    "streamy_reasons": {reason.value: count for reason, count in unsaid.items()},
                },
            )


def _why(error: Exception | None) -> str:
    if error is None:
        return ""
    # What a driver raises may tell the event's data.
    return f": {error}" if isinstance(error, StreamyError) else f": {type(error).__name__}"
