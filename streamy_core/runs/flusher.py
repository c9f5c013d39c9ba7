"""Threads that write what runs have yielded, when it is due, so that producers needn't."""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from ..broker import ForkGuard

_THREADS: Final = 4
"""At most: they wait for the backend for most of their time."""

_TOGETHER: Final = 0.005
"""Seconds by which what is due may be early, so that a thread wakes once for many."""

_LONG: Final = 0.05
"""Seconds that flushing takes, after which another thread goes on with what is due."""

logger: Final = logging.getLogger("streamy.runs")

T = TypeVar("T")


class Flusher(Generic[T]):
    """Flushes what is due, each once for each time that it was asked to. Any thread; a fork begins anew.

    flush: given what is due, each once. Must not raise.
    most:  how much it is given at a time. More than one is flushed together, so that a second thread helps
           only when that takes long: meanwhile gathers what becomes due.

    Threads start when they are needed, and end once it is closed.
    """

    _changed: threading.Condition
    _due: list[tuple[float, int, T]]
    _threads: int
    _idle: int
    _newest: list[T] | None  # what was taken last, if it is being flushed
    _began: float  # when that was taken
    _waited_for: bool  # whether a thread waits for what is due next

    def __init__(
        self,
        flush: Callable[[list[T]], object],
        *,
        most: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._flush = flush
        self._most = most
        self._patience = _LONG if most > 1 else 0.0
        self._clock = clock
        self._count = itertools.count()
        self._closed = False
        self._guard = ForkGuard(self._start)

    def flush_at(self, due: float, item: T) -> None:
        """Have it flushed at this time, or a little before, by a thread of ours; at once, once closed."""
        self._guard.check()
        with self._changed:
            first = not self._due or due < self._due[0][0]
            heapq.heappush(self._due, (due, next(self._count), item))
            if self._threads == 0 or (not self._idle and self._threads < _THREADS):
                self._start_thread()
            elif first and self._idle:
                self._changed.notify_all()  # among them the one that waits for what was due next

    def close(self) -> None:
        """Flush what waits, at once, and end. Returns before that is done. Closing twice does nothing."""
        if self._guard.inherited:
            return
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _start(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._due = []
        self._threads = self._idle = 0
        self._newest = None
        self._began = 0.0
        self._waited_for = False

    def _start_thread(self) -> None:
        try:
            threading.Thread(target=self._run, name="streamy-flusher", daemon=True).start()
            self._threads += 1
        except RuntimeError:
            if not self._threads:
                heapq.heappop(self._due)
                raise

    def _run(self) -> None:
        due: list[T] = []
        try:
            while due := self._next(due):
                try:
                    self._flush(due)
                except Exception:
                    logger.exception("writing what a run has yielded goes on after an error")
        finally:
            with self._changed:
                self._threads -= 1
                self._is_done(due)

    def _next(self, done: list[T]) -> list[T]:
        """What is due, waited for; nothing, once it is closed. done: what this thread has flushed."""
        with self._changed:
            was_newest = self._is_done(done)
            while True:
                now = self._clock()
                if self._ready_at() <= now + _TOGETHER:
                    return self._take_due(now)
                if self._closed:
                    return []
                if was_newest and self._waited_for:
                    self._changed.notify_all()  # among them the one that waits for longer meanwhile
                was_newest = False
                # One waits until something is due, the others until they are needed.
                first = bool(self._due) and not self._waited_for
                self._waited_for = self._waited_for or first
                self._idle += 1
                self._changed.wait(self._ready_at() - now if first else None)
                self._idle -= 1
                if first:
                    self._waited_for = False

    def _ready_at(self) -> float:
        """When another thread is to take what is due."""
        if not self._due:
            return math.inf
        if self._closed:
            return -math.inf
        due = self._due[0][0]
        return due if self._newest is None else max(due, self._began + self._patience)

    def _is_done(self, flushed: list[T]) -> bool:
        """This has been flushed. Whether it was what was taken last."""
        if self._newest is not flushed:
            return False
        self._newest = None
        return True

    def _take_due(self, now: float) -> list[T]:
        until = math.inf if self._closed else now + _TOGETHER
        taken: list[T] = []
        while self._due and self._due[0][0] <= until and len(taken) < self._most:
            taken.append(heapq.heappop(self._due)[2])
        self._newest, self._began = taken, now
        if self._due and self._idle and not self._waited_for:
            self._changed.notify()
        elif self._due and not self._idle and self._threads < _THREADS:
            self._start_thread()  # this one may take long
        return taken
