"""Which runs other processes hold, as far as they have told lately.

What they tell: `from`, who it is; `runs`, the streams of runs that it holds, each with its lease in seconds;
`number`, how many it had begun to hold; `all`, that of those, it holds no others; `alone`, of those, which
are to be stopped when nobody reads them, each with after how many seconds; `seen`, which streams it has
readers of.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from ..errors import InvalidStreamId
from ..events import check_stream_id, is_internal
from .terms import check_seconds

_SPREAD: Final = 0.3
"""Seconds by which processes differ in when they end what was lost: the first saves the others the work."""

_MOST: Final = 100_000
"""Runs that are known. Of more, some are found by `flask streamy runs --sweep` only."""

MISSING_FOR: Final = 3
"""So many leases long a run may be missing in its log that was told of, before it is forgotten."""


@dataclass(slots=True)
class Lease:
    """A run of another process's, or one that was given up.

    holders: who has told of it, each with its `number` then: several may try to begin it.
    """

    holders: dict[str, int]
    seconds: float
    heard_at: float
    spread: float
    alone: float | None = None
    missed: int = 0

    @property
    def due(self) -> float:
        """When it is lost unless it is heard of before."""
        return self.heard_at + self.seconds + self.spread


class Leases:
    """See the module. Any thread. Times are the caller's own, in seconds: no other clock is asked.

    me: how this process calls itself: what it says itself isn't heard.
    seen: called with a stream that another process has readers of.
    """

    def __init__(
        self, me: str, seen: Callable[[str, float], object], rng: Callable[[], float] = random.random
    ) -> None:
        self._me = me
        self._seen = seen
        self._rng = rng
        self._runs: dict[str, Lease] = {}
        self._lock = threading.Lock()

    def hear(self, message: str, now: float) -> None:
        """Take what a process has told. What is no message of ours is nothing."""
        try:
            given: Any = json.loads(message)
            whose = str(given["from"])
            number = int(given.get("number") or 0)
            runs = _seconds_of(given.get("runs"))
            alone = _seconds_of(given.get("alone"))
            seen = [str(name) for name in given.get("seen") or ()]
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return
        for name in seen:
            self._seen(name, now)
        if whose == self._me:
            return
        with self._lock:
            if given.get("all"):
                self._forget_others(whose, number, runs)
            for name, seconds in runs.items():
                if name in self._runs or len(self._runs) < _MOST:
                    spread = self._rng() * _SPREAD
                    holders = self._runs[name].holders if name in self._runs else {}
                    holders[whose] = number
                    self._runs[name] = Lease(holders, seconds, now, spread, alone.get(name))

    def give_up(self, stream_id: str, seconds: float, now: float) -> None:
        """Have a run of this process's own ended as lost, which may have begun, or goes on in its log."""
        with self._lock:
            self._runs[stream_id] = Lease({self._me: 0}, seconds, now, 0.0)

    @property
    def has_given_up(self) -> bool:
        """Whether there are such."""
        with self._lock:
            return any(self._me in run.holders for run in self._runs.values())

    def restart(self, now: float, names: Collection[str] | None = None) -> None:
        """Nothing could be heard for a while: each run, or each of these, has its whole lease anew."""
        with self._lock:
            for name, run in self._runs.items():
                if names is None or name in names:
                    run.heard_at = now

    def overdue(self, now: float) -> list[str]:
        """The streams whose runs are lost."""
        with self._lock:
            return [name for name, run in self._runs.items() if run.due <= now]

    def next_due(self) -> float | None:
        """When the first is lost, unless it is heard of; None: there are none."""
        with self._lock:
            return min((run.due for run in self._runs.values()), default=None)

    def forget(self, stream_ids: Collection[str]) -> None:
        """These have ended."""
        with self._lock:
            for name in stream_ids:
                self._runs.pop(name, None)

    def missing(self, stream_id: str, now: float) -> None:
        """Nothing is there yet of this one: its holder may be about to begin, or was killed just before."""
        with self._lock:
            if (run := self._runs.get(stream_id)) is None:
                return
            run.missed += 1
            run.heard_at = now
            if run.missed >= MISSING_FOR:
                del self._runs[stream_id]

    def wanting_readers(self) -> list[str]:
        """The streams whose holders want to be told whether they have readers."""
        with self._lock:
            return [name for name, run in self._runs.items() if run.alone is not None]

    def snapshot(self) -> dict[str, Lease]:
        """All of them, to look at."""
        with self._lock:
            return dict(self._runs)

    def __len__(self) -> int:
        return len(self._runs)

    def _forget_others(self, whose: str, number: int, runs: Collection[str]) -> None:
        """Forget what this one holds no more: none that it began to hold after it had looked."""
        for name, run in list(self._runs.items()):
            if name not in runs and run.holders.get(whose, number + 1) <= number:
                del run.holders[whose]
                if not run.holders:
                    del self._runs[name]


def _seconds_of(given: Any) -> dict[str, float]:
    """The streams that can have runs, each with its seconds, if that can be. Raises ValueError, TypeError."""
    found: dict[str, float] = {}
    for name, seconds in dict(given or {}).items():
        with suppress(InvalidStreamId):
            if not is_internal(check_stream_id(name)):
                found[name] = check_seconds("lease", seconds)
    return found


def message_of(
    me: str,
    runs: Mapping[str, float],
    *,
    everything: bool,
    number: int = 0,
    alone: Mapping[str, float] | None = None,
    seen: Collection[str] = (),
) -> str:
    """What a process tells of the runs that it holds."""
    told: dict[str, Any] = {"from": me, "number": number, "all": everything, "runs": dict(runs)}
    if alone:
        told["alone"] = dict(alone)
    if seen:
        told["seen"] = list(seen)
    return json.dumps(told, separators=(",", ":"))
