"""Looks for runs in the whole backend: those that go on, and those that nobody holds any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

from ..broker import Broker, ListsStreams
from ..engine.log import Log
from ..engine.outcomes import RunOutcome, RunStart, end_of
from ..errors import RunExists
from ..events import is_internal
from .starting import Claims

_AT_ONCE: Final = 500
_MARGIN: Final = 0.5
"""Seconds beyond a lease in which what was told last may be heard."""


class RunInfo(NamedTuple):
    """A run that goes on. key: whom it belongs to. told: whether a process tells that it holds it."""

    stream_id: str
    key: str | None
    lease: float
    told: bool


class Sweeper:
    """See the module. For one thread.

    known: gives the runs that processes tell of, with their leases.
    end: ends these as lost, but for those that have ended.
    """

    def __init__(
        self,
        broker: Broker,
        log: Log,
        claims: Claims,
        known: Callable[[], Mapping[str, float]],
        end: Callable[[Collection[str]], object],
    ) -> None:
        self._broker = broker
        self._log = log
        self._claims = claims
        self._known = known
        self._end = end

    def running(self) -> list[RunInfo]:
        """Those that go on, by name. Where the backend can list its streams, also those of which nobody
        tells. Raises BrokerUnavailable."""
        known = self._known()
        names = set(known)
        if isinstance(self._broker, ListsStreams):
            names |= {info.stream_id for info in self._broker.streams() if not info.ended}
        found: list[RunInfo] = []
        for name in sorted(self._going_on(names)):
            if is_internal(name):
                continue
            if (start := self._start_of(name)) is not None:
                found.append(RunInfo(name, start.key, start.lease, name in known))
            elif name in known:  # its first entry is kept no more
                found.append(RunInfo(name, None, known[name], told=True))
        return found

    def sweep(self, wait: Callable[[float], object] = time.sleep) -> list[str]:
        """End those that nobody tells of within their lease; their names. Takes as long as the longest."""
        before = self.running()
        if not before:
            return []
        wait(max(run.lease for run in before) + _MARGIN)
        known = self._known()
        self._end([run.stream_id for run in before if run.stream_id not in known])
        left = self._going_on([run.stream_id for run in before])
        return [run.stream_id for run in before if run.stream_id not in left and self._is_lost(run.stream_id)]

    def _start_of(self, name: str) -> RunStart | None:
        try:
            return self._claims.found(name)
        except RunExists:  # no run
            return None

    def _is_lost(self, name: str) -> bool:
        frames, _ = self._log.read(dict(self._log.tail([name])), 1, 1)[name]
        end = end_of(frames[-1].entry.event) if frames else None
        return end is not None and end.outcome is RunOutcome.LOST

    def _going_on(self, names: Collection[str]) -> set[str]:
        """Those of the streams that have not ended."""
        found: set[str] = set()
        all_names = list(names)
        for first in range(0, len(all_names), _AT_ONCE):
            tails = dict(self._log.tail(all_names[first : first + _AT_ONCE]))
            parts = self._log.read(tails, 2**16, 1)
            found.update(name for name, (_, page) in parts.items() if not page.ended)
        return found
