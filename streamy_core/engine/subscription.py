"""Reading entries in Python: for scripts, workers and tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress

from ..closeable import Closeable
from ..errors import BrokerUnavailable, Closed
from ..events import Entry
from ..strategies.retry import RetryPolicy
from ..strategies.trying import keep_trying
from .frames import Frame
from .outcomes import RunEnd, end_of
from .reader import Reader


class Subscription(Closeable, Iterator[Entry]):
    """The entries of some streams as they come. Iterating blocks; it stops when all have ended.

    A gap appears as an entry named `streamy.gap`, as it does to a browser. One thread iterates;
    `close`, from any thread, ends the iteration. Also a context manager that closes.

    ends:   the streams whose ends it has met, each with how its run ended; None if it was none of a run.
    owner:  what has to live as long as the subscription; it is kept for nothing else.
    reader: has just been opened.
    retry:  how to go on when the log can't be read; when the policy gives up, iterating raises
            BrokerUnavailable.
    """

    def __init__(self, reader: Reader, *, retry: RetryPolicy) -> None:
        self.owner: object = None
        self.ends: dict[str, RunEnd | None] = {}
        self._retry = retry
        self._reader = reader
        self._due = reader.backlog[::-1]
        self._wake = threading.Event()
        self._closed = threading.Event()
        if reader.level:
            self._attach()
        self._wake.set()

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
                if frame.ends:
                    self.ends[frame.entry.stream_id] = end_of(frame.entry.event)
                if not (frame.ends or frame.hidden):
                    return frame.entry
            if self._closed.is_set() or self._reader.hub.closed or not self._reader.reading:
                self.close()
                return None
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._wake.wait(left):
                return None
            # Cleared before looking: what comes in between sets it once more.
            self._wake.clear()
            if frames := self._look():
                self._wake.set()
                self._due = frames[::-1]

    @property
    def closed(self) -> bool:
        """Whether it reads no more."""
        return self._closed.is_set()

    def close(self) -> None:
        """Stop reading. Closing twice does nothing."""
        self._closed.set()
        self._reader.detach()
        self._wake.set()

    def _look(self) -> list[Frame]:
        frames = self._reader.due()
        if self._reader.lagging:
            frames += self._read_lagging()
        if not (frames or self._reader.attached or self._closed.is_set()):
            self._attach()
            self._wake.set()  # what came before that woke nobody
        return frames

    def _attach(self) -> None:
        with suppress(Closed):  # the process is about to stop: what has been read is the last
            self._reader.attach(self._wake.set)

    def _read_lagging(self) -> list[Frame]:
        log = self._reader.hub.log
        try:
            return keep_trying(
                self._reader.read_lagging,
                self._retry,
                wait=self._closed.wait,
                failed=lambda error, _, delay: log.failed(error, delay),
            )
        except BrokerUnavailable:
            self._wake.set()  # iterating goes on from here
            if self._closed.is_set():
                return []
            raise
