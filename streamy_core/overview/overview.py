"""Gathers what all processes have told of themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from ..broker import ReadsBack
from ..engine.earlier import cursors_of
from ..engine.engine import Engine
from ..engine.frames import Frame
from ..events import SUMMARIES
from ..ids import OLDEST, epoch_of, sequence_of
from ..starts import Last, Since, Start
from .summary import Summary, read_summary
from .telling import EVERY, EVERY_WHILE_SEEN, tell_look

_BYTES: Final = 2**20
_MOST: Final = 1_000
"""Processes; of those beyond nothing is said."""

_MISSED: Final = 3.0
"""So many summaries that don't come, and a process is gone."""

_GRACE: Final = 1.0

_SHORT: Final = 1.0
"""Seconds: rates are of no shorter time, in which a few events would be a peak."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast totals have grown between a process's two newest summaries, by the second.

    cpu: in cores: 0.5 is half of one.
    """

    published: float = 0.0
    delivered: float = 0.0
    bytes: float = 0.0
    opened: float = 0.0
    cpu: float = 0.0


@dataclass(frozen=True, slots=True)
class Process:
    """A process as it is known now: its newest summary, and how long ago that was heard, in seconds."""

    summary: Summary
    rates: Rates
    silent_for: float

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        told = self.summary.as_json()
        return {**told, "rates": asdict(self.rates), "silent_for": round(self.silent_for, 3)}


class Overview:
    """Gathers what all processes tell. It has no thread: whoever wants to know calls `refresh`. Any thread.

    engine: of the manager that the processes have, in an app with `STREAMY_OVERVIEW`.
    clock:  tells the time in seconds.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = engine.hub.log
        self._start: Start = (
            Since(_MISSED * EVERY + _GRACE) if isinstance(engine.broker, ReadsBack) else Last(_MOST)
        )
        self._tell = engine.publisher.tell
        self._clock = clock
        self._lock = threading.Lock()
        self._cursor: str | None = None
        self._heard: dict[str, _Heard] = {}
        self._looked_at = float("-inf")
        self._heard_at = float("-inf")

    def refresh(self) -> None:
        """Take what has been told since, and have processes tell more often while this is called.

        Once a second is often enough. The first call takes what was told last. Blocks for two round trips;
        raises BrokerUnavailable.
        """
        with self._lock:
            if self._clock() - self._looked_at >= EVERY_WHILE_SEEN:
                self._looked_at = self._clock()
                tell_look(self._tell)
            self._hear()

    def processes(self) -> list[Process]:
        """Those that are there, by their names: who has been silent for too long isn't."""
        now = self._clock()
        with self._lock:
            for name in [name for name, one in self._heard.items() if _is_gone(one.summary, now - one.at)]:
                del self._heard[name]
            heard = [one for _, one in sorted(self._heard.items())]
        return [Process(one.summary, one.rates, now - one.at) for one in heard]

    def as_json(self) -> dict[str, Any]:
        """All that is known, as plain values: `processes`, each with its `rates`, and when this was, `at`."""
        return {"at": time.time(), "processes": [process.as_json() for process in self.processes()]}

    def _hear(self) -> None:
        late = self._clock() - self._heard_at > EVERY
        cursor = self._place() if late or self._cursor is None else self._cursor
        told: set[str] = set()
        more = True
        while more:
            frames, page = self._log.read({SUMMARIES: cursor}, _BYTES)[SUMMARIES]
            told.update(map(self._take, frames))
            more, cursor = page.more or page.gap, page.cursor
            self._cursor = cursor
        self._heard_at = self._clock()
        if late:
            self._age(self._heard.keys() & told)

    def _place(self) -> str:
        """Where to read on after a while: what was told before doesn't say who is there now."""
        start = cursors_of(self._log, [SUMMARIES], self._start)[SUMMARIES]
        known = self._cursor
        if known is None or start == OLDEST:  # nothing that was told is older than it may be
            return start if known is None else known
        shares = epoch_of(known) == epoch_of(start)
        return known if shares and (sequence_of(known) or 0) > (sequence_of(start) or 0) else start

    def _age(self, processes: Collection[str]) -> None:
        """What these told before anybody listened is as old as it is beside the newest of it.

        That of the same host: the clocks of others may be apart.
        """
        newest: dict[str, float] = {}
        for one in map(self._heard.__getitem__, processes):
            host = one.summary.host
            newest[host] = max(newest.get(host, one.summary.at), one.summary.at)
        for name in processes:
            one = self._heard[name]
            self._heard[name] = one._replace(at=one.at - (newest[one.summary.host] - one.summary.at))

    def _take(self, frame: Frame) -> str:
        """Returns the name of the process that has told this; empty: none has."""
        summary = None if frame.gap is not None else read_summary(frame.entry.event.data)
        if summary is None:
            return ""
        name = summary.process
        before = self._heard.get(name)
        if summary.bye:
            self._heard.pop(name, None)
        elif before is not None or len(self._heard) < _MOST:
            self._heard[name] = _after(before, summary, self._clock())
        return name


class _Heard(NamedTuple):
    """A process's newest summary, when it came, and the one that its rates are reckoned from."""

    summary: Summary
    at: float
    base: Summary
    rates: Rates


def _after(before: _Heard | None, summary: Summary, now: float) -> _Heard:
    if before is None:
        return _Heard(summary, now, summary, Rates())
    if 0 <= summary.at - before.base.at < _SHORT:
        return before._replace(summary=summary, at=now)
    return _Heard(summary, now, summary, _rates(before.base, summary))


def _rates(before: Summary, now: Summary) -> Rates:
    seconds = now.at - before.at
    if seconds <= 0:
        return Rates()

    def rate(name: str) -> float:
        grown: float = getattr(now, name) - getattr(before, name)
        return round(max(0.0, grown) / seconds, 4)

    return Rates(*(rate(name) for name in ("published", "delivered", "bytes", "opened", "cpu")))


def _is_gone(summary: Summary, silent_for: float) -> bool:
    every = summary.every if 0 < summary.every <= EVERY else EVERY
    return silent_for > _MISSED * every + _GRACE
