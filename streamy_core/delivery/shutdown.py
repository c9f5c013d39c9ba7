"""Noticing that the process is about to stop, so that clients can be told to come back, at once."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from typing import Final

from .servers import Server

_INTERVAL: Final = 0.05  # gunicorn gives a gevent worker 0.1 s after SIGINT


class ShutdownWatcher:
    """Calls `on_shutdown` once, when the server stops or the process exits, whichever comes first.

    Closing it before that calls nothing.

    server: the process's, which is asked now and then, if it can tell.
    """

    def __init__(self, server: Server, on_shutdown: Callable[[], None]) -> None:
        self._on_shutdown = on_shutdown
        self._over = threading.Event()
        self._lock = threading.Lock()
        atexit.register(self._shut_down)
        self._thread: threading.Thread | None = None
        if (stopping := server.stopping()) is not None:
            self._thread = threading.Thread(
                target=self._watch, args=(stopping,), name="streamy-shutdown", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Stop watching. Closing twice does nothing."""
        self._over.set()
        atexit.unregister(self._shut_down)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _watch(self, stopping: Callable[[], bool]) -> None:
        while not self._over.wait(_INTERVAL):
            if stopping():
                self._shut_down()

    def _shut_down(self) -> None:
        with self._lock:  # who comes second waits, or the process would exit in the middle
            if not self._over.is_set():
                self._over.set()
                self._on_shutdown()
