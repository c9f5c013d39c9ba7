"""What a hub remembers of its failures."""

from __future__ import annotations

from .health import Health


class Record:
    """See the module. Written by the hub's thread, looked at by any. Times are given.

    failures:     how often the watch or a read failed.
    last_failure: the newest.
    failing_since: when the first of those failed after which nothing has succeeded; None: it reads.
    missed_bells: how many streams were found grown that no bell named.
    """

    def __init__(self) -> None:
        self.failures: int = 0
        self.last_failure: str | None = None
        self.failing_since: float | None = None
        self.missed_bells: int = 0

    def failed(self, error: Exception, now: float) -> None:
        """The watch or a read has failed."""
        self.failures += 1
        self.last_failure = f"{type(error).__name__}: {error}"
        if self.failing_since is None:
            self.failing_since = now

    def failing_for(self, now: float) -> float:
        """For how many seconds they have been failing; 0 if they aren't."""
        since = self.failing_since
        return 0.0 if since is None else now - since

    def health(self, streams: int, damaged: int, now: float) -> Health:
        """As `Hub.health` says it. streams: how many are watched. damaged: entries that could not be read."""
        return Health(
            streams=streams,
            failures=self.failures,
            last_failure=self.last_failure,
            failing=self.failing_since is not None,
            missed_bells=self.missed_bells,
            damaged=damaged,
            failing_for=self.failing_for(now),
        )
