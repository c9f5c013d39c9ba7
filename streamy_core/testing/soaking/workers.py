"""What each process of a soak does: an action of `processes`, which notes every call of its broker."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from ...broker import Broker, Watch
from ...errors import BrokerUnavailable
from ...events import Event
from ...ids import OLDEST
from ..processes import Here
from .history import Add, Append, Call, End, Notes, Read, Tail, Wait, over
from .plan import BUSY, SECOND, SHARED, Deed, Plan, quiet

THREADS: Final = 2
"""Writers in a process, on one broker."""
MORE_LIMITS: Final = (1, 3, 100, 1_000)
_READY: Final = SECOND // 200
"""Nanoseconds before a time at which several meet, from which on they only wait for it."""
_DALLYING: Final = 0.005
"""Seconds for which a watcher has other things to do after it has added a stream, before it waits."""
_PAUSE: Final = 0.05
"""Seconds before another try, when the backend is away."""

C = TypeVar("C", bound=Call)
R = TypeVar("R")


class Noting:
    """A broker whose calls are noted. For one thread."""

    def __init__(self, who: str, broker: Broker, notes: Notes) -> None:
        self.who = who
        self.broker = broker
        self.notes = notes

    def append(self, stream: str, data: Sequence[str], key: str | None = None) -> Append:
        call = Append(who=self.who, called=self.notes.now(), stream=stream, data=tuple(data), key=key)
        self.notes.note(call)
        events = [Event(text) for text in data]
        done, ids = self.make(call, lambda: self.broker.append(stream, events, idempotency_key=key))
        return self._noted(replace(done, ids=tuple(map(str, ids or ()))))

    def end(self, stream: str) -> End:
        call = End(who=self.who, called=self.notes.now(), stream=stream)
        self.notes.note(call)
        return self._noted(self.make(call, lambda: self.broker.end(stream))[0])

    def read(self, stream: str, cursor: str, limit: int = 1_000, max_bytes: int | None = None) -> Read:
        call = Read(who=self.who, called=self.notes.now(), stream=stream, cursor=cursor)
        done, pages = self.make(call, lambda: self.broker.read({stream: cursor}, limit, max_bytes))
        if pages is None:
            return self._noted(done)
        page = pages[stream]
        return self._noted(
            replace(
                done,
                ids=tuple([entry.id for entry in page.entries]),
                data=tuple([entry.event.data for entry in page.entries]),
                next=page.cursor,
                ended=page.ended,
                gap=page.gap,
                more=page.more,
            )
        )

    def tail(self, streams: Sequence[str]) -> list[Tail]:
        call = Tail(who=self.who, called=self.notes.now(), stream="")
        done, tails = self.make(call, lambda: self.broker.tail(streams))
        found = [replace(done, stream=name, cursor=(tails or {}).get(name, "")) for name in streams]
        return [self._noted(each) for each in found]

    def make(self, call: C, what: Callable[[], R]) -> tuple[C, R | None]:
        """Make a call. It, as it is over, and what it returned; None if it raised."""
        try:
            given = what()
        except Exception as error:  # noqa: BLE001 - the checker says what may be raised
            return over(call, self.notes.now(), error), None
        return over(call, self.notes.now()), given

    def _noted(self, call: C) -> C:
        self.notes.note(call)
        return call


def write(here: Here, plan: Plan, process: str, place: int, folder: Path, unsettled: list[Append]) -> None:
    """Append and end until the plan is over, in several threads.

    place:     that of the first of them.
    unsettled: what the killed process whose places these are may or may not have appended: it is tried again.
    """

    def work(number: int) -> None:
        who = f"{process}{'abcdefgh'[number]}"
        notes = Notes(folder / who, plan.began)
        try:
            _Writer(Noting(who, here.broker, notes), plan, place + number).work(unsettled[number::THREADS])
        finally:
            notes.close()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))


class _Writer:
    def __init__(self, noting: Noting, plan: Plan, place: int) -> None:
        self._noting = noting
        self._now = noting.notes.now
        self._plan = plan
        self._place = place
        self._chance = random.Random(f"{plan.seed} {noting.who}")
        self._count = 0
        self._keyed: list[Append] = []

    def work(self, unsettled: Sequence[Append]) -> None:
        for append in unsettled:
            self._settle(append)
        for deed in self._plan.deeds(self._place, self._now()):
            while (left := deed.at - _READY - self._now()) > 0:
                self._something()
                if self._chance.random() < 0.5:  # else at once
                    time.sleep(min(self._chance.random() * 0.01, max(0, left) / SECOND))
            time.sleep(max(0, deed.at - self._now()) / SECOND)
            self._do(deed)

    def _do(self, deed: Deed) -> None:
        if deed.what == "share":
            # Whoever comes first stores it; all tell the same ids.
            self._append(SHARED, [f"shared {deed.slot}"], f"shared {deed.slot}")
        elif deed.what == "append":
            key = self._chance.choice((None, f"{self._noting.who} for {deed.at}"))
            self._append(quiet(deed.slot), self._data(self._chance.choice((1, 1, 2))), key)
        else:
            self._noting.end(quiet(deed.slot))

    def _something(self) -> None:
        what = self._chance.random()
        stream = self._chance.choice(BUSY)
        if what < 0.2:
            self._append(stream, self._data(self._chance.randint(2, 9)))
        elif what < 0.4:
            self._append(stream, self._data(self._chance.randint(1, 3)), f"{self._noting.who} {self._count}")
        elif what < 0.5 and self._keyed:
            self._settle(self._chance.choice(self._keyed[-10:]))
        else:
            self._append(stream, self._data(1))

    def _append(self, stream: str, data: Sequence[str], key: str | None = None) -> None:
        append = self._noting.append(stream, data, key)
        if key is not None:
            self._keyed.append(append)
        if append.fault and not append.refused:
            time.sleep(_PAUSE)
            self._settle(append)

    def _settle(self, append: Append) -> None:
        """Append it again, if it has a key that tells whether it is there."""
        while append.key is not None and self._now() < self._plan.over:
            append = self._noting.append(append.stream, append.data, append.key)
            if append.done or append.refused:
                return
            time.sleep(_PAUSE)

    def _data(self, size: int) -> list[str]:
        self._count += 1
        whole = f"{self._noting.who} {self._count}"
        return [whole] if size == 1 else [f"{whole}.{part}" for part in range(1, size + 1)]


def read(here: Here, plan: Plan, who: str, origins: dict[str, str], folder: Path) -> None:
    """Follow the busy streams until the plan is over, now and then from an earlier place, or far behind.

    origins: the cursors before the first entries.
    """
    notes = Notes(folder / who, plan.began)
    noting, chance = Noting(who, here.broker, notes), random.Random(f"{plan.seed} {who}")
    at = {name: origins[name] for name in BUSY}
    passed = {name: [OLDEST] for name in BUSY}
    while notes.now() < plan.over:
        stream = chance.choice(BUSY)
        jumps = chance.random() < 0.02
        cursor = chance.choice(passed[stream][-200:]) if jumps else at[stream]
        found = noting.read(stream, cursor, chance.choice(MORE_LIMITS), chance.choice((None, None, 50)))
        if found.done and not jumps:
            at[stream] = found.next
            passed[stream] += found.ids
        time.sleep(chance.random() * 0.02 if chance.random() < 0.99 or stream == BUSY[0] else 1.5)
    notes.close()


def watch(here: Here, plan: Plan, who: str, number: int, folder: Path) -> None:
    """Watch all streams, read whatever is named; until the last bells must have been heard."""
    notes = Notes(folder / who, plan.began)
    _Watcher(Noting(who, here.broker, notes), plan, number).work()
    notes.close()


class _Watcher:
    def __init__(self, noting: Noting, plan: Plan, number: int) -> None:
        self._noting = noting
        self._now = noting.notes.now
        self._plan = plan
        self._chance = random.Random(f"{plan.seed} {noting.who}")
        self._adds = [*reversed(list(plan.adds(number)))]
        self._at: dict[str, str] = {}
        self._ask_at = plan.over + SECOND // 2
        self._name, self._watches = noting.who, 0
        self._watch: Watch | None = None

    def work(self) -> None:
        over = self._plan.over + round((self._plan.rings_within + 1.5) * SECOND)
        while self._now() < over and not self._has_all():
            watch = self._watch or self._begin()
            if watch is not None:
                self._turn(watch, over)

    def _has_all(self) -> bool:
        """Whether there is nothing left of which a bell may still come: asked in the end, now and then."""
        if self._now() < self._ask_at:
            return False
        self._ask_at = self._now() + SECOND // 2
        try:
            pages = self._noting.broker.read(self._at, 1)
        except BrokerUnavailable:
            return False
        return not any(page.entries or page.ended or page.gap for page in pages.values())

    def _begin(self) -> Watch | None:
        """A watch; None if there can be none now."""
        try:
            watch = self._noting.broker.watch()
        except BrokerUnavailable:
            time.sleep(_PAUSE)
            return None
        self._watches += 1
        self._noting.who = f"{self._name}.{self._watches}"
        self._watch = watch
        for stream in [*BUSY, *(self._at.keys() - BUSY)]:
            self._add(watch, stream, at_once=False)
        return self._watch

    def _turn(self, watch: Watch, over: int) -> None:
        due = self._adds[-1].at if self._adds else over
        if due <= self._now():
            self._add(watch, quiet(self._adds.pop().slot), at_once=self._chance.random() < 0.5)
            return
        seconds = min(0.5, (due - self._now()) / SECOND)
        call = Wait(who=self._noting.who, called=self._now(), seconds=seconds)
        done, named = self._noting.make(call, lambda: watch.wait(seconds))
        names = tuple(sorted(named or ()))
        self._noting.notes.note(replace(done, named=names))
        if done.fault:
            self._drop(watch)
        for stream in names:
            self._read(stream)

    def _add(self, watch: Watch, stream: str, *, at_once: bool) -> None:
        """Watch a stream. at_once: what is there already isn't read before a bell."""
        call = Add(who=self._noting.who, called=self._now(), stream=stream)
        done, _ = self._noting.make(call, lambda: watch.add(stream))
        self._noting.notes.note(done)
        if done.fault:
            self._at.setdefault(stream, OLDEST)
            self._drop(watch)
        else:
            self._at.setdefault(stream, OLDEST)
            if not at_once:
                self._read(stream)
            time.sleep(self._chance.random() * _DALLYING)

    def _read(self, stream: str) -> None:
        while stream in self._at:
            page = self._noting.read(stream, self._at[stream])
            if page.fault:
                time.sleep(_PAUSE)
                continue
            self._at[stream] = page.next
            if page.ended:
                del self._at[stream]
                if self._watch is not None:
                    self._watch.discard(stream)
            if page.reaches_the_end:
                return

    def _drop(self, watch: Watch) -> None:
        """Bells have been lost: as the hub does, begin again with another watch."""
        watch.close()
        self._watch = None
        time.sleep(_PAUSE)
