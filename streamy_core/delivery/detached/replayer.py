"""Reads the log for groups whose cursors no window holds, off the event loop's thread."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from ...errors import BrokerUnavailable, Closed
from ...strategies.retry import RetryPolicy
from ...strategies.trying import keep_trying

logger = logging.getLogger("streamy.replayer")

Done = Callable[[bytes], None]


class Replayer:
    """A thread, started when it is first needed. While it reads, a reader is its own.

    retry:  how to go on when the broker can't be reached. Nobody is given up: a client that waits
            here is told of nothing until then.
    failed: told of each failure, and of the seconds until the next attempt.
    """

    def __init__(self, retry: RetryPolicy, failed: Callable[[Exception, float | None], None]) -> None:
        self._retry = retry
        self._failed = failed
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
        done(self._read(action))
        return True

    def _read(self, action: Callable[[], bytes]) -> bytes:
        try:
            return keep_trying(
                action,
                self._retry,
                wait=self._stop.wait,
                failed=lambda error, _, delay: self._failed(error, delay),
                endless=True,
            )
        except (Closed, BrokerUnavailable):  # the process is about to stop
            return b""
        except Exception:
            logger.exception("catching up failed")
            return b""
