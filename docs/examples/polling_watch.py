"""A bell on a timer, for a backend that has no better one."""

import threading
import time
from collections.abc import Callable, Collection

from streamy_core import Closed
from streamy_core.broker import Watch


class PollingWatch(Watch):
    """Calls `ask` every `pause` seconds for the number of entries that each stream has ever had."""

    def __init__(self, ask: Callable[[Collection[str]], dict[str, int | None]], pause: float = 0.05) -> None:
        self._ask = ask
        self._pause = pause
        self._counts: dict[str, int | None] = {}
        self._lock = threading.Lock()
        self._interrupted = threading.Event()
        self._closed = False

    def add(self, stream_id: str) -> None:
        with self._lock:
            self._counts.setdefault(stream_id, None)  # None is no count, so the first `wait` names it

    def discard(self, stream_id: str) -> None:
        with self._lock:
            self._counts.pop(stream_id, None)

    def wait(self, timeout: float | None) -> Collection[str]:
        end = None if timeout is None else time.monotonic() + timeout
        while not self._closed:
            left = self._pause if end is None else min(self._pause, max(0.0, end - time.monotonic()))
            if (grown := self._grown()) or not left:
                return grown
            if self._interrupted.wait(left):
                self._interrupted.clear()
                return ()
        raise Closed("this watch has been closed")

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        self._closed = True
        self._interrupted.set()

    def _grown(self) -> list[str]:
        with self._lock:
            before, self._counts = self._counts, self._ask(self._counts)
            return [name for name, count in self._counts.items() if count != before[name]]
