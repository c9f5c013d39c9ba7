"""What a process knows of its broker by entries of its own: whether they are taken, and heard."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Final, NamedTuple

from .health import Part, Trouble

ANSWERS_WITHIN: Final = 2.0
"""Seconds without an answer after which a broker is taken to be away."""

_LOADED: Final = 0.5
"""Seconds that a loaded machine may be late in hearing."""

_MOST: Final = 1_000
"""Entries that are waited for at once: one that comes later was long missing."""


class _Sent(NamedTuple):
    """When an entry was sent, and how many watches there had been."""

    at: float
    watches: int


class Trips:
    """See the module. Any thread. All times are given, in seconds of one clock.

    rings_within: `Broker.rings_within`.

    last: how many seconds the newest entry took that came back; None: none has.
    """

    def __init__(self, rings_within: float) -> None:
        self._heard_within = rings_within + _LOADED
        self._lock = threading.Lock()
        self._asked_at: float | None = None
        self._failing_since: float | None = None
        self._error = ""
        self._under_way: dict[int, _Sent] = {}
        self._late_since: float | None = None
        self.last: float | None = None

    def asks(self, now: float) -> None:
        """The broker is about to be asked for something."""
        self._asked_at = now

    def sends(self, number: int, now: float, watches: int) -> None:
        """An entry is about to be appended. watches: how many the hub has made so far."""
        with self._lock:
            if len(self._under_way) >= _MOST:
                missing = self._under_way.pop(next(iter(self._under_way)))
                self._note_late(missing)
            self._under_way[number] = _Sent(now, watches)

    def answered(self) -> None:
        """The broker has answered."""
        self._asked_at = None

    def stored(self) -> None:
        """It has, and has taken the entry: nothing is wrong with it any more."""
        self._asked_at = self._failing_since = None

    def failed(self, error: Exception, number: int) -> None:
        """It has failed. The entry of this number isn't waited for."""
        with self._lock:
            self._under_way.pop(number, None)
            if self._failing_since is None:
                self._failing_since = self._asked_at
            self._error = f"{type(error).__name__}: {error}"
            self._asked_at = None

    def came(self, numbers: Collection[int], now: float, watches: int) -> list[float]:
        """These entries have come back. Returns the seconds that those took that were waited for.

        What was found since a new watch was made, or by the look at all streams, no bell has told of: then
        it is late, and so is what comes with it.
        """
        with self._lock:
            sent = [self._under_way.pop(number) for number in numbers if number in self._under_way]
            if not sent:
                return []
            oldest = min(sent)
            if now - oldest.at > self._heard_within or 0 < oldest.watches < watches:
                self._note_late(oldest)
            else:
                self._late_since = None
            took = [max(0.0, now - each.at) for each in sent]
            self.last = took[-1]
            return took

    def known(self, now: float) -> bool:
        """Whether anything is known by now."""
        return not (self.last is None and self.broker(now) is None and self.bell(now) is None)

    def broker(self, now: float) -> Trouble | None:
        """What is wrong with appending, if anything is."""
        with self._lock:
            failing_since, asked_at = self._failing_since, self._asked_at
            if failing_since is not None:
                return Trouble(Part.BROKER, now - failing_since, self._error)
        if asked_at is not None and now - asked_at >= ANSWERS_WITHIN:
            return Trouble(Part.BROKER, now - asked_at, "the broker doesn't answer")
        return None

    def bell(self, now: float) -> Trouble | None:
        """What is wrong with hearing, if anything is."""
        with self._lock:
            since = self._late_since
            oldest = next((each.at for each in self._under_way.values()), now)
        if since is None and now - oldest > self._heard_within:
            since = oldest
        if since is None:
            return None
        return Trouble(Part.BELL, now - since, "what this process has appended was not heard in time")

    def _note_late(self, sent: _Sent) -> None:
        if self._late_since is None:
            self._late_since = sent.at
