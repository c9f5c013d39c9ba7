"""Time that goes on when it is told to."""

from __future__ import annotations


class ManualClock:
    """A clock for whatever takes one: call it for the time, in seconds.

    slept: the pauses that `sleep` was asked for.
    """

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let so many seconds go by."""
        self._now += seconds

    def sleep(self, seconds: float) -> None:
        """In place of `time.sleep`: the time goes by at once."""
        self.slept.append(seconds)
        self.advance(seconds)
