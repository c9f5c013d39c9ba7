"""What a hub remembers of its failures."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from .health import Health

_BELL_TAKES: Final = 1.0
"""Seconds after which a bell was missed that hasn't named a stream found grown."""


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
        self._unheard: dict[str, float] = {}  # what was found grown without a bell, and when

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

    @property
    def due_in(self) -> float | None:
        """Seconds in which bells of streams that were found grown are to come; None: none is awaited."""
        return _BELL_TAKES if self._unheard else None

    def found_grown(self, stream_id: str, now: float) -> None:
        """No bell has named this stream, which has grown."""
        self._unheard.setdefault(stream_id, now)

    def heard(self, rung: Collection[str], now: float) -> int:
        """Bells have named these streams. Returns how many more bells were missed by now."""
        if not self._unheard:
            return 0
        for name in rung:
            self._unheard.pop(name, None)
        missed = [name for name, found_at in self._unheard.items() if found_at <= now - _BELL_TAKES]
        for name in missed:
            del self._unheard[name]
        self.missed_bells += len(missed)
        return len(missed)

    def begin_anew(self) -> None:
        """A new watch is heard: bells of the last one don't come any more."""
        self._unheard.clear()

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
