"""What an app wants to have called when a client has left: on a thread of its own, which may block."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

logger: Final = logging.getLogger("streamy.delivery")

Callback = Callable[[], object]


class Callbacks:
    """Calls them in order. Its thread starts with the first. Any thread."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callback | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def run(self, callback: Callback) -> None:
        """Have it called. What it raises is logged."""
        self._queue.put(callback)
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="streamy-callbacks", daemon=True)
                self._thread.start()

    def close(self, timeout: float) -> None:
        """Wait until those so far have been called, for `timeout` seconds. Closing twice does nothing."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(timeout)

    def _work(self) -> None:
        while (callback := self._queue.get()) is not None:
            try:
                callback()
            except Exception:
                logger.exception("what was to be called when a client has left has failed")
