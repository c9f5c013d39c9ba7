"""What belongs to one process must not be used in its children: connections, locks, threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable


class ForkGuard:
    """Has an object make its state anew in a forked process, before it is first used there.

    After a fork the child has only the thread that forked. A lock that another thread held stays
    locked, a thread is gone, a connection is shared with the parent: none of them may be touched.

        self._guard = ForkGuard(self._start)  # calls it now, and once in each child

        def append(self, ...):
            self._guard.check()

    start: makes the state anew. It must not close, or wait for, anything of the old one.
    """

    def __init__(self, start: Callable[[], None]) -> None:
        self._start = start
        self._lock = threading.Lock()
        start()
        self._pid = os.getpid()

    def check(self) -> None:
        """See that the state is this process's. Any thread; call it before the state is used."""
        if self._pid != os.getpid():
            with self._lock:
                if self._pid != os.getpid():
                    self._start()
                    self._pid = os.getpid()  # last: another thread takes the rest to be there then

    @property
    def inherited(self) -> bool:
        """Whether the state is still a parent's, so that there is nothing here to be closed."""
        return self._pid != os.getpid()
