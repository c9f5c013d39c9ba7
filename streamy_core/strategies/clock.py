"""What time goes by: the system's clock, unless a test has one that it moves itself.

Any object with these three is a clock.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@runtime_checkable
class Clock(Protocol):
    """Tells the time, and lets it go by. Any thread."""

    def __call__(self) -> float:
        """The time in seconds, from any start. It never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""

    def wait(self, event: threading.Event, until: float | None) -> bool:
        """Return once the event is set, or when this clock says `until`, None: never. Whether it is set."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The system's: `time.monotonic`, which never jumps."""

    def __call__(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # looked up late: gevent may patch `time` after this module was imported

    def wait(self, event: threading.Event, until: float | None) -> bool:
        return event.wait(None if until is None else max(0.0, until - time.monotonic()))
