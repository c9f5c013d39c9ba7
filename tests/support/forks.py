"""Code that runs in a forked process, which ends without a word to the parent's tests."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from typing import Final

import pytest

from streamy_core.testing.reading import DEADLINE

forks: Final = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
"""For tests that fork: Python 3.12 warns of it in a process that has threads."""


def in_child(action: Callable[[], object]) -> int:
    """Do this in a forked process; its id. One that hangs is ended."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(round(3 * DEADLINE))
        try:
            action()
        except BaseException:  # noqa: BLE001 - a child must never return into the tests
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid


def succeeds(pid: int) -> bool:
    """Whether this child ended without an error, once it has."""
    return os.waitpid(pid, 0)[1] == 0


def told_by_child(action: Callable[[], str]) -> str:
    """What this returns in a forked process."""
    reading, writing = os.pipe()
    child = in_child(lambda: os.write(writing, action().encode()))
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    assert succeeds(child)
    return told
