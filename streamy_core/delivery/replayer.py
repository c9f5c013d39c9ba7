"""Reads the log for clients whose place no window holds, off the event loop's thread."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Final

from ..errors import BrokerUnavailable, Closed
from ..retry import RetryPolicy
from .connection import Connection

_PAUSE_AFTER_GIVING_UP: Final = 1.0

logger = logging.getLogger("streamy")

Done = Callable[[bytes], None]


class Replayer:
    """A thread, started with the first read. While it reads, a connection is its own.

    retry: how to go on when the broker can't be reached. Nobody is given up: a client that waits
           here is told of nothing new, and that is how it is.
    """

    def __init__(self, retry: RetryPolicy) -> None:
        self._retry = retry
        self._work: queue.SimpleQueue[tuple[Connection, Done] | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def read(self, connection: Connection, done: Done) -> None:
        """Read a page behind the connection's lagging places, and call `done` with its bytes.

        `done` is called on the replayer's thread. One thread calls this.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="streamy-replayer", daemon=True)
            self._thread.start()
        self._work.put((connection, done))

    def close(self) -> None:
        """Stop. What is still waiting to be read is not. Any thread."""
        self._stop.set()
        self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None and not self._stop.is_set():
            connection, done = work
            done(self._read(connection))

    def _read(self, connection: Connection) -> bytes:
        attempt = 0
        while not self._stop.is_set():
            try:
                return connection.catch_up()
            except Closed:
                break
            except Exception:
                logger.exception("catching up failed")
                break
            except BrokerUnavailable as error:
                attempt += 1
                pause = self._retry.delay(attempt)
                if pause is None:
                    attempt, pause = 0, _PAUSE_AFTER_GIVING_UP
                logger.warning("catching up failed, again in %.2f s: %s", pause, error)
                self._stop.wait(pause)
        return b""
