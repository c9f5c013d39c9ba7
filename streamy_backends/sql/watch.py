"""The watch: asks what has grown, at intervals and when the database's bell rings.

A look costs by what has changed, and not by how many streams are watched. Some changes come to light
late, since a transaction tells when it wrote, and not when it committed. So each look goes back a
little, and, where no bell tells of commits, one a second ten seconds, and every tenth of these a
minute. One a second asks for some of all streams, too, in turns.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Hashable, Mapping
from itertools import cycle
from typing import Final, Protocol

from streamy_core.broker import PollingWatch, PollScheduler
from streamy_core.broker.watches import OnClose

from .bells import Bell
from .pages import State

_A_DAY: Final = 86_400.0
_LATE: Final = (*[10_000_000] * 9, 60_000_000)
"""How many microseconds one look a second goes back, in turns."""
_AT_ONCE: Final = 200
_TURNS: Final = 60
"""Streams that are asked for by themselves a second, and in how many seconds all are, of however many."""
_NEVER: Final = 2**62
"""A time at which nothing has changed yet."""


class Source(Protocol):
    """Tells states. Each is one round trip, and may raise BrokerUnavailable."""

    late_by: int

    def heads(self, names: Collection[str]) -> Mapping[str, State]:
        """The state of each of these streams that is there."""
        raise NotImplementedError

    def changes(self, since: int) -> tuple[int, Mapping[str, State]]:
        """See `Logs.changes`."""
        raise NotImplementedError


class SqlWatch(PollingWatch):
    """See the module; publishers of this process call `look_at`.

    bell:    sleeps until the database rings it; closed with the watch.
    polling: with a bell that hears of other processes, it is asked for the longest interval only.
    """

    def __init__(self, source: Source, bell: Bell, polling: PollScheduler, on_close: OnClose) -> None:
        super().__init__(source.heads, polling, on_close)
        self._source = source
        self._bell = bell
        self._named: set[str] = set()  # that have changed, as somebody has said
        self._others = False  # have changed, which nobody has named
        self._since = _NEVER
        self._late = cycle(_LATE)
        self._second_over = 0.0
        self._next: list[str] = []  # whose turn it is still to be asked for

    def look_at(self, stream_id: str) -> None:
        """This stream may have grown: look without waiting for the interval. Any thread."""
        with self._lock:
            if stream_id in self._seen:
                self._named.add(stream_id)
                self.look_soon()

    def _sleep(self, timeout: float | None) -> None:
        rung = self._bell.wait(timeout, listening=bool(self._seen))
        if rung is None:
            return
        with self._lock:
            self._others = self._others or not rung
            self._named.update(self._seen.keys() & rung)
            if self._others or self._named:
                self.look_soon()

    def _find(self) -> Mapping[str, Hashable]:
        now = time.monotonic()
        with self._lock:
            named, self._named = self._named & self._seen.keys(), set()
            others, self._others = self._others, False
            names = named | self._unseen
        found: dict[str, Hashable] = {}
        late = self._source.late_by
        if once_a_second := now >= self._second_over:
            self._second_over = now + 1.0
            late = late if self._bell.hears else next(self._late)
            names |= self._some_of_all()
        if once_a_second or others or not named or not self._bell.hears:
            before = self._since
            self._since, changed = self._source.changes(before - late)
            if self._since < before < _NEVER:  # another database, or a clock that was put back
                return super()._find()
            found.update(changed)
        if missing := names - found.keys():
            looked = self._look(missing)
            found.update({name: looked.get(name) for name in missing})
        return found

    def _some_of_all(self) -> set[str]:
        with self._lock:
            self._next = self._next or list(self._seen)
            count = max(_AT_ONCE, len(self._seen) // _TURNS)
            some, self._next = self._next[:count], self._next[count:]
            return self._seen.keys() & some

    def _wake(self) -> None:
        self._bell.wake()

    def _free(self) -> None:
        self._bell.close()

    def _idle_for(self, now: float) -> float:
        return _A_DAY if self._bell.hears else super()._idle_for(now)
