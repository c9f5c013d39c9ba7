"""Looks after clients that hold a thread, once a second, where the server shows their sockets.

Their threads can't: one waits for events, or in the server's own `send`, however long its client takes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Final, Protocol

_INTERVAL: Final = 1.0


class Watched(Protocol):
    """A client that holds a thread."""

    def look_after(self) -> None:
        """See whether it is still there, and takes what it is sent; if not, end it. Must not block."""


class WsgiMonitor:
    """A thread, while there is anybody to look after. Any thread.

    watched: whom to look after.
    """

    def __init__(self, watched: Callable[[], Collection[Watched]]) -> None:
        self._watched = watched
        self._lock = threading.Lock()
        self._running = False

    def start(self) -> None:
        """There is somebody to look after now."""
        with self._lock:
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="streamy-wsgi-monitor", daemon=True).start()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(_INTERVAL)
            with self._lock:
                watched = self._watched()
                if not watched:
                    self._running = False
                    return
            for one in watched:
                one.look_after()
