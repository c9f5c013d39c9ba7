"""Reads the log for clients whose place no window holds, off the event loop's thread."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Final

from ...errors import BrokerUnavailable, Closed
from ...strategies.retry import RetryPolicy, delay_after

_PAUSE_AFTER_GIVING_UP: Final = 1.0

logger = logging.getLogger("streamy")

Done = Callable[[bytes], None]


class Replayer:
    """A thread, started when it is first needed. While it reads, a connection is its own.

    retry: how to go on when the broker can't be reached. Nobody is given up: a client that waits
           here is told of nothing new, and that is how it is.
    """

    def __init__(self, retry: RetryPolicy) -> None:
        self._retry = retry
        self._work: queue.SimpleQueue[tuple[Callable[[], bytes], Done] | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def run(self, action: Callable[[], bytes], done: Done) -> None:
        """Have `action` read the log, again and again until it can, and call `done` with its bytes.

        Both are called on the replayer's thread. One thread calls this.
        """
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="streamy-replayer", daemon=True)
            thread.start()
            self._thread = thread
        self._work.put((action, done))

    def close(self) -> None:
        """Stop. What is still waiting to be read is not. Any thread."""
        self._stop.set()
        self._work.put(None)

    def _run(self) -> None:
        while self._do_next():
            pass

    def _do_next(self) -> bool:
        """False when there is nothing more to do. Holds on to no work, and so no client, while it waits."""
        work = self._work.get()
        if work is None or self._stop.is_set():
            return False
        action, done = work
        done(self._insist(action))
        return True

    def _insist(self, action: Callable[[], bytes]) -> bytes:
        attempt = 0
        while not self._stop.is_set():
            try:
                return action()
            except Closed:
                break
            except BrokerUnavailable as error:
                attempt += 1
                pause = delay_after(self._retry, attempt)
                if pause is None:
                    attempt, pause = 0, _PAUSE_AFTER_GIVING_UP
                logger.warning("catching up failed, again in %.2f s: %s", pause, error)
                self._stop.wait(pause)
            except Exception:
                logger.exception("catching up failed")
                break
        return b""
