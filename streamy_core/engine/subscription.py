"""Reading entries in Python: for scripts, workers and tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping

from ..closeable import Closeable
from ..errors import BrokerUnavailable
from ..events import Entry
from ..strategies.retry import RetryPolicy, delay_after
from .hub import Hub
from .reader import Reader
from .window import Frame


class Subscription(Closeable, Iterator[Entry]):
    """The entries of some streams as they come. Iterating blocks; it stops when all have ended.

    A gap appears as an entry named `streamy.gap`, as it does to a browser. One thread iterates;
    `close`, from any thread, ends the iteration. Also a context manager that closes.

    wanted: stream id -> the cursor to read on from, or None for "from now on".
    retry:  how to go on when the log can't be read; when the policy gives up, iterating raises
            BrokerUnavailable.
    """

    def __init__(self, hub: Hub, wanted: Mapping[str, str | None], *, retry: RetryPolicy) -> None:
        self._retry = retry
        self._reader = Reader(hub, wanted)
        self._due = self._reader.backlog[::-1]
        self._bell = threading.Event()
        self._closed = threading.Event()
        self._reader.attach(self._bell.set)
        self._bell.set()

    def __next__(self) -> Entry:
        entry = self.next()
        if entry is None:
            raise StopIteration
        return entry

    def next(self, timeout: float | None = None) -> Entry | None:
        """The next entry; None when all streams have ended, on close, or after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            while self._due:
                frame = self._due.pop()
                self._reader.passed(frame)
                if not frame.ends:
                    return frame.entry
            if self._closed.is_set() or self._reader.hub.closed or not self._reader.reading:
                self.close()
                return None
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._bell.wait(left):
                return None
            # Cleared before looking: what comes in between rings once more.
            self._bell.clear()
            if frames := self._look():
                self._bell.set()
                self._due = frames[::-1]

    def close(self) -> None:
        """Stop reading. Closing twice does nothing."""
        self._closed.set()
        self._reader.detach()
        self._bell.set()

    def _look(self) -> list[Frame]:
        frames = self._reader.due()
        attempt = 0
        while self._reader.lagging and not self._closed.is_set():
            try:
                return frames + self._reader.read_lagging()
            except BrokerUnavailable:
                attempt += 1
                pause = delay_after(self._retry, attempt)
                if pause is None:
                    self._bell.set()
                    raise
                self._closed.wait(pause)
        return frames
