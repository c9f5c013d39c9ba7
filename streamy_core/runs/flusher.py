"""Threads that write what runs have yielded, when it is due, so that producers needn't."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from ..broker import ForkGuard

_THREADS: Final = 4
"""At most: they wait for the backend for most of their time."""

_TOGETHER: Final = 0.005
"""Seconds by which what is due may be early, so that a thread wakes once for many."""

logger: Final = logging.getLogger("streamy.runs")

Flush = Callable[[], object]


class Flusher:
    """Calls what is due, each once for each time that it was asked to. Any thread; a fork begins anew.

    Threads start when they are needed, and end once it is closed. What is called must not raise.
    """

    _changed: threading.Condition
    _due: list[tuple[float, int, Flush]]
    _threads: int
    _idle: int
    _waited_for: bool  # whether a thread waits for what is due next

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._count = itertools.count()
        self._closed = False
        self._guard = ForkGuard(self._start)

    def call_at(self, due: float, flush: Flush) -> None:
        """Have it called at this time, or a little before, by a thread of ours; at once, once closed."""
        self._guard.check()
        with self._changed:
            first = not self._due or due < self._due[0][0]
            heapq.heappush(self._due, (due, next(self._count), flush))
            if self._threads == 0 or (not self._idle and self._threads < _THREADS):
                self._start_thread()
            elif first and self._idle:
                self._changed.notify_all()  # among them the one that waits for what was due next

    def close(self) -> None:
        """Call what waits, at once, and end. Returns before that is done. Closing twice does nothing."""
        if self._guard.inherited:
            return
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _start(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._due = []
        self._threads = self._idle = 0
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
        while (flush := self._next()) is not None:
            try:
                flush()
            except Exception:
                logger.exception("writing what a run has yielded goes on after an error")

    def _next(self) -> Flush | None:
        with self._changed:
            while True:
                now = self._clock()
                if self._due and (self._closed or self._due[0][0] <= now + _TOGETHER):
                    flush = heapq.heappop(self._due)[2]
                    if self._due and self._idle and not self._waited_for:
                        self._changed.notify()
                    elif self._due and not self._idle and self._threads < _THREADS:
                        self._start_thread()  # this one may take long
                    return flush
                if self._closed:
                    self._threads -= 1
                    return None
                # One waits until something is due, the others until they are needed.
                first = bool(self._due) and not self._waited_for
                self._waited_for = self._waited_for or first
                self._idle += 1
                self._changed.wait(self._due[0][0] - now if first else None)
                self._idle -= 1
                if first:
                    self._waited_for = False
