"""Asks the backend for clients that come, without letting their requests wait for one that is silent."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, TypeVar

from ..broker import ForkGuard
from ..errors import BrokerUnavailable

MOST: Final = 4
"""The most requests that wait for the backend at once, where it takes its time."""

_SLOW: Final = 0.1
"""Seconds after which a backend is slow: while so many wait, others are told to come back."""
_PATIENT: Final = 1.0
_HURRIED: Final = 0.2
"""Seconds that one request waits; the second on a server that has only one or two threads."""

T = TypeVar("T")


class Opener:
    """Threads that ask the backend, started when they are first needed. Any thread.

    A forked process has its own.

    A call to a backend that is stopped, or behind a network that swallows everything, takes as long as
    the driver's own timeout. It takes that on a thread from here: the request has its answer before.
    """

    _changed: threading.Condition
    _line: deque[tuple[Future[Any], Callable[[], Any]]]
    _running: dict[Future[Any], float]
    _threads: int

    def __init__(self) -> None:
        self._guard = ForkGuard(self._start)

    def _start(self) -> None:
        self._changed = threading.Condition()
        self._line = deque()
        self._running = {}
        self._threads = 0

    def run(self, action: Callable[[], T], capacity: int | None) -> T:
        """What `action` returns, or raises.

        capacity: how many requests the server serves at once; None: any number. At most half of them
                  wait here.

        Raises BrokerUnavailable where the backend is slow, and too many wait for it already.
        """
        self._guard.check()
        most = MOST if capacity is None else min(MOST, max(1, capacity // 2))
        future: Future[T] = Future()
        with self._changed:
            if len(self._running) >= most and time.monotonic() - min(self._running.values()) > _SLOW:
                raise BrokerUnavailable("the backend is slow, and others are waiting for it")
            self._line.append((future, action))
            if len(self._running) + len(self._line) > self._threads < most:
                self._threads += 1
                name = f"streamy-opener-{self._threads}"
                threading.Thread(target=self._run, name=name, daemon=True).start()
            self._changed.notify()
        patience = _HURRIED if capacity is not None and capacity <= 2 else _PATIENT
        return _result(future, patience)

    def _run(self) -> None:
        while True:
            self._do_next()

    def _do_next(self) -> None:
        """Hold on to nothing while there is nothing to do."""
        with self._changed:
            while not self._line:
                self._changed.wait()
            future, action = self._line.popleft()
            if not future.set_running_or_notify_cancel():
                return
            self._running[future] = time.monotonic()
        outcome = _outcome_of(action, future)
        with self._changed:
            del self._running[future]
        outcome()


def _outcome_of(action: Callable[[], T], future: Future[T]) -> Callable[[], None]:
    """Do it; what tells who asked."""
    try:
        return partial(future.set_result, action())
    except BaseException as error:  # noqa: BLE001 - it belongs to who asked
        return partial(future.set_exception, error)


def _result(future: Future[T], patience: float) -> T:
    for seconds in (_SLOW, patience - _SLOW):
        try:
            return future.result(seconds)
        except TimeoutError:
            if future.done():
                return future.result()
            if future.cancel():
                break
    raise BrokerUnavailable(f"the backend has not answered within {patience} s")
