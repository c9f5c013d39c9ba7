"""Gathers what all processes have told of themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from ..broker import ReadsBack
from ..engine.earlier import cursors_of
from ..engine.engine import Engine
from ..engine.frames import Frame
from ..events import SUMMARIES
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
        cursor = self._cursor
        if is_first := cursor is None:
            cursor = cursors_of(self._log, [SUMMARIES], self._start)[SUMMARIES]
        more = True
        while more:
            frames, page = self._log.read({SUMMARIES: cursor}, _BYTES)[SUMMARIES]
            for frame in frames:
                self._take(frame)
            more, cursor = page.more or page.gap, page.cursor
            self._cursor = cursor
        if is_first:
            self._age()

    def _age(self) -> None:
        """What was told before anybody listened is as old as it is beside the newest of it.

        That of the same host: the clocks of others may be apart.
        """
        newest: dict[str, float] = {}
        for one in self._heard.values():
            host = one.summary.host
            newest[host] = max(newest.get(host, one.summary.at), one.summary.at)
        for name, one in self._heard.items():
            self._heard[name] = one._replace(at=one.at - (newest[one.summary.host] - one.summary.at))

    def _take(self, frame: Frame) -> None:
        summary = None if frame.gap is not None else read_summary(frame.entry.event.data)
        if summary is None:
            return
        if summary.bye:
            self._heard.pop(summary.process, None)
            return
        before = self._heard.get(summary.process)
        if before is None and len(self._heard) >= _MOST:
            return
        self._heard[summary.process] = _after(before, summary, self._clock())


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
