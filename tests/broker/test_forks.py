"""State that belongs to one process is made anew in each of its children, once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from streamy_core.broker import ForkGuard

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


class Guarded:
    def __init__(self) -> None:
        self.starts = 0
        self.guard = ForkGuard(self._start)

    def _start(self) -> None:
        self.starts += 1
        self.lock = threading.Lock()


def in_a_child(check: Callable[[], bool]) -> bool:
    """What `check` says in a forked process."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if check() else 1
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


def test_state_is_made_when_the_guard_is() -> None:
    guarded = Guarded()
    guarded.guard.check()
    assert (guarded.starts, guarded.guard.inherited) == (1, False)


def test_a_child_makes_it_anew_once_however_many_threads_check() -> None:
    guarded = Guarded()

    def check() -> bool:
        if not guarded.guard.inherited:
            return False
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: guarded.guard.check(), range(100)))
        return (guarded.starts, guarded.guard.inherited) == (2, False)

    assert in_a_child(check)
    assert guarded.starts == 1, "the parent's is its own"


def test_a_lock_that_was_held_at_the_fork_is_free_in_the_child() -> None:
    guarded = Guarded()

    def check() -> bool:
        guarded.guard.check()
        return guarded.lock.acquire(timeout=5)

    with guarded.lock:
        assert in_a_child(check)


def test_a_child_of_a_child_makes_it_anew_too() -> None:
    guarded = Guarded()

    def grandchild() -> bool:
        guarded.guard.check()
        return guarded.starts == 3

    def child() -> bool:
        guarded.guard.check()
        return in_a_child(grandchild)

    assert in_a_child(child)
