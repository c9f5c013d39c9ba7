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
from ..errors import BrokerUnavailable, Closed

MOST: Final = 4
"""The most requests that wait for the backend at once, where it takes its time."""

_SLOW: Final = 0.5
"""Seconds after which a backend is slow: others are told to come back then, until it answers sooner."""
_PATIENT: Final = 1.0
_HURRIED: Final = 0.5
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
    _slow: bool
    _closed: bool

    def __init__(self) -> None:
        self._guard = ForkGuard(self._start)

    def _start(self) -> None:
        self._changed = threading.Condition()
        self._line = deque()
        self._running = {}
        self._threads = 0
        self._slow = False  # it was when it answered last, or was given up
        self._closed = False

    def run(self, action: Callable[[], T], capacity: int | None) -> T:
        """What `action` returns, or raises.

        capacity: how many requests the server serves at once; None: any number. At most a
                  quarter of them wait here: half of them may be held by streams.

        Raises BrokerUnavailable where the backend is slow, and too many wait for it already; Closed.
        """
        self._guard.check()
        most = MOST if capacity is None else min(MOST, max(1, capacity // 4))
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise Closed("this manager has been closed")
            if self._is_slow(most):
                raise BrokerUnavailable("the backend is slow, and others are waiting for it")
            self._line.append((future, action))
            if len(self._running) + len(self._line) > self._threads < most:
                self._threads += 1
                name = f"streamy-opener-{self._threads}"
                threading.Thread(target=self._run, name=name, daemon=True).start()
            self._changed.notify()
        patience = _HURRIED if capacity is not None and capacity <= 2 else _PATIENT
        return _result(future, patience)

    def _is_slow(self, most: int) -> bool:
        """Whether a request would wait in vain. One is let through now and then, to see."""
        if self._slow:
            return bool(self._running or self._line)
        return len(self._running) >= most and time.monotonic() - min(self._running.values()) > _SLOW

    def close(self) -> None:
        """End the threads, as soon as they have done what they are doing. Closing twice does nothing."""
        if self._guard.inherited:
            return
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        while self._do_next():
            pass

    def _do_next(self) -> bool:
        """False when there is nothing more to do. Holds on to nothing while it waits."""
        with self._changed:
            while not self._line:
                if self._closed:
                    return False
                self._changed.wait()
            future, action = self._line.popleft()
            if not future.set_running_or_notify_cancel():
                return True
            self._running[future] = time.monotonic()
        outcome = _outcome_of(action, future)
        with self._changed:
            self._slow = time.monotonic() - self._running.pop(future) > _SLOW
        outcome()
        return True


def _outcome_of(action: Callable[[], T], future: Future[T]) -> Callable[[], None]:
    """Do it; what tells who asked."""
    try:
        return partial(future.set_result, action())
    except BaseException as error:  # noqa: BLE001 - it belongs to who asked
        return partial(future.set_exception, error)


def _result(future: Future[T], patience: float) -> T:
    for seconds in (_SLOW, max(0.0, patience - _SLOW)):
        try:
            return future.result(seconds)
        except TimeoutError:
            if future.done():
                return future.result()
            if future.cancel():
                break
    raise BrokerUnavailable(f"the backend has not answered within {patience} s")
