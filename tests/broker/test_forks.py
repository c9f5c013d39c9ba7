"""State that belongs to one process is made anew in each of its children, once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from streamy_core.broker import ForkGuard

from ..support.forks import forks, in_child, succeeds

pytestmark = forks


class Guarded:
    def __init__(self) -> None:
        self.starts = 0
        self.guard = ForkGuard(self._start)

    def _start(self) -> None:
        self.starts += 1
        self.lock = threading.Lock()


def test_state_is_made_when_the_guard_is() -> None:
    guarded = Guarded()
    guarded.guard.check()
    assert (guarded.starts, guarded.guard.inherited) == (1, False)


def test_a_child_makes_it_anew_once_however_many_threads_check() -> None:
    guarded = Guarded()

    def check() -> None:
        assert guarded.guard.inherited
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: guarded.guard.check(), range(100)))
        assert (guarded.starts, guarded.guard.inherited) == (2, False)

    assert succeeds(in_child(check))
    assert guarded.starts == 1, "the parent's is its own"


def test_a_lock_that_was_held_at_the_fork_is_free_in_the_child() -> None:
    guarded = Guarded()

    def check() -> None:
        guarded.guard.check()
        assert guarded.lock.acquire(timeout=5)

    with guarded.lock:
        child = in_child(check)
    assert succeeds(child)


def test_a_child_of_a_child_makes_it_anew_too() -> None:
    guarded = Guarded()

    def grandchild() -> None:
        guarded.guard.check()
        assert guarded.starts == 3

    def child() -> None:
        guarded.guard.check()
        assert succeeds(in_child(grandchild))

    assert succeeds(in_child(child))
