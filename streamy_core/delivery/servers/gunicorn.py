"""Noticing that the server is about to stop, so that clients can be told to come back, at once.

gunicorn's workers put `alive` to False on SIGTERM, reload and `max_requests`, and then wait for
their requests to end. They say so to nobody, but the handler of SIGTERM is a method of the worker.
Other servers just exit, which `atexit` tells.
"""

from __future__ import annotations

import atexit
import signal
import threading
from collections.abc import Callable
from typing import Any, Final

_INTERVAL: Final = 0.05  # gunicorn gives a gevent worker 0.1 s after SIGINT


def server_is_stopping() -> bool:
    """Whether the gunicorn worker that this process is, if it is one, has been told to stop."""
    worker = gunicorn_worker()
    if worker is None:
        return False
    # On SIGINT and SIGQUIT a gthread worker shuts its pool before it puts `alive` to False. If the second of
    # them comes in between, it never does: it waits for a lock of the pool's that it has itself. (So it does
    # when the first comes while it hands work to the pool, and of that nothing tells.)
    pool = getattr(worker, "tpool", None)
    return not worker.alive or getattr(pool, "_shutdown", False)


def gunicorn_worker() -> Any:
    """The gunicorn worker that this process is, or None. Any thread."""
    owner = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return owner if hasattr(owner, "alive") and hasattr(owner, "cfg") else None


class Departure:
    """Calls `leave` once, when the server stops or the process exits, whichever comes first.

    Closing it before that calls nothing.
    """

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave
        self._over = threading.Event()
        self._lock = threading.Lock()
        atexit.register(self._depart)
        self._thread: threading.Thread | None = None
        if gunicorn_worker() is not None:
            self._thread = threading.Thread(target=self._observe, name="streamy-leaving", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop observing. Closing twice does nothing."""
        self._over.set()
        atexit.unregister(self._depart)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _observe(self) -> None:
        while not self._over.wait(_INTERVAL):
            if server_is_stopping():
                self._depart()

    def _depart(self) -> None:
        with self._lock:  # who comes second waits, or the process would exit in the middle
            if not self._over.is_set():
                self._over.set()
                self._leave()
