"""Runs a soak: starts processes, kills some, reads everything in the end, and gathers what all have noted."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from ...broker import Broker
from ...errors import ConfigError
from ...ids import OLDEST
from ..basis import MakeBroker, closed_in_the_end
from ..fault_contract import Faults
from ..processes import Action, Process, Starter
from .history import Append, History, Notes, Outage, Work, in_order, notes_in
from .plan import SECOND, Plan
from .workers import THREADS, Noting, read, watch, write

LOG: Final = "soak"
_ALL: Final = 10_000
_BETWEEN_KILLS: Final = (0.5, 2.0)
_BETWEEN_OUTAGES: Final = (1.0, 3.0)
"""Seconds."""
_PATIENCE: Final = 60.0
"""Seconds after which a process that should have come to its end is taken to hang."""
_AT_ONCE: Final = 100
"""Streams that are asked for in one call."""


@dataclass(slots=True)
class Worker:
    """A process, and what it does. threads: the names of those that note something."""

    process: Process
    place: int
    threads: list[str]


@dataclass(slots=True)
class Run:
    """One soak. For one thread, and once.

    kept:   how many entries of a stream brokers are to keep; None: what they keep by themselves.
    folder: where notes are kept meanwhile.
    """

    make_broker: MakeBroker
    about: str
    seconds: float
    seed: int
    processes: int
    kept: int | None
    faults: Faults | None
    folder: Path
    _count: int = 0

    def history(self) -> History:
        """Do it."""
        with ExitStack() as to_close:
            broker = to_close.enter_context(closed_in_the_end(self._broker()))
            if not broker.shared:
                raise ConfigError("the broker says shared = False: a soak is of what processes share")
            starter = Starter()
            to_close.callback(starter.close)
            self._work(broker, starter)
            calls = [call for path in sorted(self.folder.iterdir()) for call in notes_in(path)]
            return History(
                about=self.about, rings_within=broker.rings_within, kept=self.kept, calls=in_order(calls)
            )

    def _work(self, broker: Broker, starter: Starter) -> None:
        few = max(1, self.processes // 4)
        many = max(1, self.processes - 2 * few)
        started = [self._start(starter) for _ in range(many + 2 * few)]
        plan = Plan(self.seed, self.seconds, time.monotonic_ns(), many * THREADS, broker.rings_within)
        notes = Notes(self.folder / "main", plan.began)
        noting = Noting("main", broker, notes)
        origins = _origins(noting, plan.streams)
        readers = [self._set(started.pop(), read, plan, f"r{n}", origins) for n in range(few)]
        watchers = [self._set(started.pop(), watch, plan, f"v{n}", n) for n in range(few)]
        writers = [self._write(process, plan, n * THREADS, []) for n, process in enumerate(started)]
        self._disturb(plan, writers, starter, notes)
        for worker in [*writers, *readers, *watchers]:
            self._finish(worker, notes)
        for stream in plan.streams:
            _read_all(noting, stream, origins[stream])
        notes.close()

    def _disturb(self, plan: Plan, writers: list[Worker], starter: Starter, notes: Notes) -> None:
        """Kill and replace writers, and take the backend away, until the plan is over."""
        chance = random.Random(f"{plan.seed} main")
        kill_at = self._after(0, _BETWEEN_KILLS, chance)
        away_at = self._after(0, _BETWEEN_OUTAGES, chance)
        while (now := notes.now()) < plan.over - SECOND // 2:
            if self.faults is not None and now >= away_at:
                self._take_away(self.faults, notes, chance)
                away_at = self._after(notes.now(), _BETWEEN_OUTAGES, chance)
            elif now >= kill_at:
                place = chance.randrange(len(writers))
                writers[place] = self._replace(writers[place], plan, starter)
                kill_at = self._after(notes.now(), _BETWEEN_KILLS, chance)
            time.sleep(0.01)

    def _after(self, now: int, within: tuple[float, float], chance: random.Random) -> int:
        return now + round(chance.uniform(*within) * SECOND)

    def _take_away(self, faults: Faults, notes: Notes, chance: random.Random) -> None:
        outage = Outage(who="main", called=notes.now())
        faults.stop()
        time.sleep(chance.uniform(0.1, 1.0))
        faults.start()
        notes.note(replace(outage, returned=notes.now()))

    def _replace(self, worker: Worker, plan: Plan, starter: Starter) -> Worker:
        """Kill a writer; another takes its places, and tries again what it was at."""
        worker.process.kill()
        worker.process.close()
        noted = [notes_in(self.folder / name) for name in worker.threads if (self.folder / name).exists()]
        last = [calls[-1] for calls in noted if calls]
        unsettled = [call for call in last if isinstance(call, Append) and call.returned is None]
        return self._write(self._start(starter), plan, worker.place, unsettled)

    def _write(self, process: Process, plan: Plan, place: int, unsettled: list[Append]) -> Worker:
        self._count += 1
        name = f"w{self._count}"
        process.start(write, plan, name, place, self.folder, unsettled)
        return Worker(process, place, [f"{name}{'abcdefgh'[number]}" for number in range(THREADS)])

    def _set(self, process: Process, action: Action, plan: Plan, name: str, what: object) -> Worker:
        process.start(action, plan, name, what, self.folder)
        return Worker(process, 0, [name])

    def _finish(self, worker: Worker, notes: Notes) -> None:
        work = Work(who=worker.threads[0], called=notes.now())
        try:
            worker.process.result(_PATIENCE + self.seconds)
        except (AssertionError, EOFError, ConnectionError, pytest.fail.Exception) as error:
            why = str(error) or "the process has died"
            notes.note(replace(work, returned=notes.now(), fault=why))
        worker.process.close()

    def _start(self, starter: Starter) -> Process:
        return starter.start(self.make_broker, LOG, history=self.kept or _ALL)

    def _broker(self) -> Broker:
        return self.make_broker(LOG, history=self.kept or _ALL)


def _origins(noting: Noting, streams: list[str]) -> dict[str, str]:
    """The cursors before the first entries."""
    parts = [streams[n : n + _AT_ONCE] for n in range(0, len(streams), _AT_ONCE)]
    return {tail.stream: tail.cursor for part in parts for tail in noting.tail(part)}


def _read_all(noting: Noting, stream: str, cursor: str) -> None:
    patience = time.monotonic() + _PATIENCE
    while time.monotonic() < patience:
        page = noting.read(stream, cursor or OLDEST)
        if page.reaches_the_end or (page.fault and not page.fault.startswith("BrokerUnavailable")):
            return
        if page.fault:
            time.sleep(0.1)
        else:
            cursor = page.next
