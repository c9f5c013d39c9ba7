"""Time that goes on when it is told to."""

from __future__ import annotations

import threading
from typing import Final

_LOOK_EVERY: Final = 0.002
"""Real seconds between two looks of who waits: it may be woken by the clock and by an event."""


class ManualClock:
    """A `Clock` that stands still until `advance`. Call it for the time, in seconds. Any thread.

    slept: the pauses that `sleep` was asked for.
    """

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let so many seconds go by. Who waits until then goes on."""
        with self._lock:
            self._now += seconds

    def sleep(self, seconds: float) -> None:
        """In place of `time.sleep`: the time goes by at once."""
        self.slept.append(seconds)
        self.advance(seconds)

    def wait(self, event: threading.Event, until: float | None) -> bool:
        """In place of `event.wait`: until it is set, or the clock has been moved so far."""
        while not event.is_set():
            if until is not None and self._now >= until:
                return False
            event.wait(_LOOK_EVERY)
        return True
