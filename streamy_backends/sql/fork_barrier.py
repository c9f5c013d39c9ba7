"""For a database whose open connections don't survive a fork: none is open while the process forks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from weakref import WeakMethod, ref


class ForkBarrier:
    """Entered, as a context manager, by whoever uses a connection. Any thread.

    Before a fork it lets nobody in, waits until all have left, but no longer than `timeout` seconds,
    and calls `close_idle`. In the forked process it is of no use: a new one is made there.
    """

    def __init__(self, close_idle: Callable[[], None], timeout: float) -> None:
        self._close_idle = WeakMethod(close_idle)
        self._timeout = timeout
        self._changed = threading.Condition()
        self._inside = 0
        self._forks = 0  # under way: each thread may fork
        barrier = ref(self)

        def before() -> None:
            if found := barrier():
                found._shut()

        def after() -> None:
            if found := barrier():
                found._open()

        if hasattr(os, "register_at_fork"):  # not every system forks
            # There is no way to take these back: with the barrier gone they do nothing.
            os.register_at_fork(before=before, after_in_parent=after)

    def __enter__(self) -> None:
        with self._changed:
            while self._forks:
                self._changed.wait()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._inside -= 1
            if self._forks:
                self._changed.notify_all()

    def _shut(self) -> None:
        with self._changed:
            self._forks += 1
            self._changed.wait_for(lambda: not self._inside, self._timeout)
            if close_idle := self._close_idle():
                close_idle()

    def _open(self) -> None:
        with self._changed:
            self._forks -= 1
            self._changed.notify_all()
