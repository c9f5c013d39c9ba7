"""Reads the log for clients that no window can serve: in slices, in turns, on threads of its own.

So catching up holds up neither live events nor the threads of the server, whether the backend is slow or
silent. Whose turn is next goes by key, so that many clients of one key have one client's share.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, NamedTuple

from ..errors import BrokerUnavailable, Closed
from ..strategies.retry import RetryPolicy
from ..strategies.trying import Attempts

THREADS: Final = 2
"""How many slices are read at once: one that has to wait for its backend leaves room for another."""

_SLOW: Final = 0.5
"""Seconds without an answer to any thread after which the backend is slow."""

_IDLE: Final = 3.0
"""Seconds without work after which a thread ends."""

logger: Final = logging.getLogger("streamy.replayer")

Done = Callable[[bytes], None]


class Work(NamedTuple):
    """How many slices are being read, and how many wait: for their turn, or to be tried again."""

    running: int
    waiting: int


class Replayer:
    """Threads, while there is work for them. While one reads, a reader is its own. Any thread.

    retry:  how to go on when the broker can't be reached. Nobody is given up: a client that waits
            here is told of nothing until then, and others have their turn meanwhile.
    failed: told of each failure, and of the seconds until the next attempt.
    """

    def __init__(self, retry: RetryPolicy, failed: Callable[[Exception, float | None], None]) -> None:
        self._retry = retry
        self._failed = failed
        self._changed = threading.Condition()
        self._turns: dict[Hashable, deque[_Job]] = {}  # the first key is next
        self._later: list[tuple[float, int, _Job]] = []  # a heap of those to be tried again, by when
        self._order = itertools.count()
        self._running: dict[_Job, float] = {}  # by when each was begun, the oldest first
        self._threads = 0
        self._idle = 0
        self._closed = False

    @property
    def slow(self) -> bool:
        """Whether all threads wait for the backend, and have for a while. Any thread."""
        with self._changed:
            running = self._running
            return len(running) == THREADS and time.monotonic() - next(reversed(running.values())) > _SLOW

    @property
    def work(self) -> Work:
        """How much there is. Any thread."""
        with self._changed:
            return Work(len(self._running), sum(map(len, self._turns.values())) + len(self._later))

    def run(
        self, action: Callable[[], bytes], done: Done, wanted: Callable[[], bool], key: Hashable = None
    ) -> None:
        """Have `action` read the log, again and again until it can, and call `done` with its bytes.

        All are called on a thread of the replayer's.

        wanted: whether somebody still waits for it; if not, it is dropped when its turn comes.
        key:    whose turn it is; None: nobody's but its own.
        """
        key = object() if key is None else key
        job = _Job(action, done, wanted, key, Attempts(self._retry, endless=True))
        with self._changed:
            if self._closed:
                return
            self._turns.setdefault(job.key, deque()).append(job)
            if len(self._turns) > self._idle and self._threads < THREADS:
                self._threads += 1
                name = f"streamy-replayer-{self._threads}"
                threading.Thread(target=self._run, name=name, daemon=True).start()
            self._changed.notify()

    def close(self) -> None:
        """Stop. What is still waiting to be read is not."""
        with self._changed:
            self._closed = True
            self._turns.clear()
            self._later.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        while self._do_next():
            pass

    def _do_next(self) -> bool:
        """False when there is nothing more to do. Holds on to no job, and so no client, while it waits."""
        if (job := self._wait_for_job()) is None:
            return False
        if not job.wanted():
            return True
        try:
            data = self._read(job)
        except BrokerUnavailable as error:
            self._try_later(job, error)
            return True
        except Closed:  # the process is about to stop
            data = b""
        except Exception:
            logger.exception("catching up failed")
            data = b""
        job.done(data)
        return True

    def _read(self, job: _Job) -> bytes:
        with self._changed:
            self._running[job] = time.monotonic()
        try:
            return job.action()
        finally:
            with self._changed:
                del self._running[job]

    def _wait_for_job(self) -> _Job | None:
        with self._changed:
            self._idle += 1
            try:
                while not self._closed:
                    now = time.monotonic()
                    while self._later and self._later[0][0] <= now:
                        job = heapq.heappop(self._later)[2]
                        self._turns.setdefault(job.key, deque()).append(job)
                    if self._turns:
                        return self._next_turn()
                    if self._later:
                        self._changed.wait(self._later[0][0] - now)
                    elif not (self._changed.wait(_IDLE) or self._turns or self._later):
                        break
                self._threads -= 1
                return None
            finally:
                self._idle -= 1

    def _next_turn(self) -> _Job:
        key = next(iter(self._turns))
        jobs = self._turns.pop(key)
        job = jobs.popleft()
        if jobs:
            self._turns[key] = jobs  # after all others
        return job

    def _try_later(self, job: _Job, error: BrokerUnavailable) -> None:
        delay = job.attempts.after_failure() or 0.0
        self._failed(error, delay)
        with self._changed:
            if not self._closed:
                heapq.heappush(self._later, (time.monotonic() + delay, next(self._order), job))
                self._changed.notify()


@dataclass(slots=True, eq=False)
class _Job:
    action: Callable[[], bytes]
    done: Done
    wanted: Callable[[], bool]
    key: Hashable
    attempts: Attempts
