"""What is due when: a heap, run by the thread that owns it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Hashable, Sized
from functools import partial
from typing import Final, Generic, TypeVar

from ...observers import Observer

_LONGEST_WAIT: Final = 3_600.0  # a selector refuses what is longer than it can count

T = TypeVar("T", bound=Hashable)


_PARTS: Final = 8
"""Of a second."""


class Timers:
    """Actions by the time they are due. For one thread. `clock`: seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.now = clock
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Have `action` run in so many seconds, once."""
        heapq.heappush(self._heap, (self.now() + seconds, next(self._order), action))

    def due_in(self) -> float | None:
        """Seconds to wait at most until the first is due, 0 if one is; None if there is none."""
        return min(_LONGEST_WAIT, max(0.0, self._heap[0][0] - self.now())) if self._heap else None

    def run(self) -> None:
        """Run what is due by now; what that adds waits for the next time."""
        now = self.now()
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2]()


class Lateness:
    """Tells once a second how late the thread comes to what is due, while there is somebody. For one thread.

    clients: those who are there.
    """

    def __init__(self, timers: Timers, clients: Sized, observer: Observer) -> None:
        self._timers = timers
        self._clients = clients
        self._observer = observer
        self._due: float | None = None

    def arrived(self) -> None:
        """Somebody is there."""
        if self._due is None:
            self._due = self._timers.now() + 1.0
            self._timers.after(1.0, self._look)

    def _look(self) -> None:
        due, self._due = self._due, None
        if due is not None:
            self._observer.loop_late(max(0.0, self._timers.now() - due))
        if self._clients:
            self.arrived()


class Expiries(Generic[T]):
    """What expires when, by parts of a second, so that what is discarded early leaves nothing.

    For one thread. expired: called for each when its time has come; it is discarded then.
    """

    def __init__(self, timers: Timers, expired: Callable[[T], None]) -> None:
        self._timers = timers
        self._expired = expired
        self._parts: dict[T, int] = {}
        self._due: dict[int, dict[T, None]] = {}

    def add(self, item: T, seconds: float) -> None:
        """Have `item` expire after so many seconds, or up to an eighth of one earlier: never later."""
        now = self._timers.now()
        part = int((now + seconds) * _PARTS)
        if part not in self._due:
            self._due[part] = {}
            self._timers.after(max(0.0, part / _PARTS - now), partial(self._expire, part))
        self._due[part][item] = None
        self._parts[item] = part

    def discard(self, item: T) -> None:
        """It is gone before its time."""
        part = self._parts.pop(item, None)
        if part is not None:
            self._due[part].pop(item, None)

    def _expire(self, part: int) -> None:
        for item in self._due.pop(part):
            self._parts.pop(item, None)
            self._expired(item)
