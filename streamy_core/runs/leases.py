"""Which runs other processes hold, as far as they have told lately.

What they tell: `from`, who it is; `runs`, the streams of runs that it holds, each with its lease in seconds;
`all`, that it holds no others; `alone`, of those, which are to be stopped when nobody reads them, each with
after how many seconds; `seen`, which streams it has readers of.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

_SPREAD: Final = 0.3
"""Seconds by which processes differ in when they end what was lost: the first saves the others the work."""

_MOST: Final = 100_000
"""Runs that are known. Of more, some are found by `flask streamy runs --sweep` only."""

MISSING_FOR: Final = 3
"""So many leases long a run may be missing in its log that was told of, before it is forgotten."""


@dataclass(slots=True)
class Lease:
    """A run of another process's."""

    holder: str
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
            runs = {str(name): float(seconds) for name, seconds in dict(given.get("runs") or {}).items()}
            alone = {str(name): float(seconds) for name, seconds in dict(given.get("alone") or {}).items()}
            seen = [str(name) for name in given.get("seen") or ()]
        except (ValueError, TypeError, KeyError, AttributeError):
            return
        for name in seen:
            self._seen(name, now)
        if whose == self._me:
            return
        with self._lock:
            if given.get("all"):
                for name in [name for name, run in self._runs.items() if run.holder == whose]:
                    if name not in runs:
                        del self._runs[name]
            for name, seconds in runs.items():
                if name in self._runs or len(self._runs) < _MOST:
                    spread = self._rng() * _SPREAD
                    self._runs[name] = Lease(whose, seconds, now, spread, alone.get(name))

    def restart(self, now: float) -> None:
        """Nothing could be heard for a while: each run has its whole lease anew."""
        with self._lock:
            for run in self._runs.values():
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


def message_of(
    me: str,
    runs: Mapping[str, float],
    *,
    everything: bool,
    alone: Mapping[str, float] | None = None,
    seen: Collection[str] = (),
) -> str:
    """What a process tells of the runs that it holds."""
    told: dict[str, Any] = {"from": me, "all": everything, "runs": dict(runs)}
    if alone:
        told["alone"] = dict(alone)
    if seen:
        told["seen"] = list(seen)
    return json.dumps(told, separators=(",", ":"))
