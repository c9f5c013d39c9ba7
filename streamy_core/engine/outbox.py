"""Publishes without holding whoever publishes: a bounded queue in each process, and a thread that empties it.

The thread starts with the first event. Each stream is published in order and by itself: while one has to
wait for its next attempt, the others go on. What one stream has waiting goes out in one append.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ..broker import ForkGuard
from ..closeable import Closeable
from ..errors import BrokerUnavailable, Closed, PublishFailed, StreamEnded
from ..events import Event
from ..observers import DropReason, Observer
from ..strategies.retry import RetryPolicy
from ..strategies.trying import Attempts
from .drops import Drops
from .publisher import Publisher, outcome_of
from .queues import Item, StreamQueue, StreamQueues
from .traces import Traces

_HURRY: Final = 0.5
"""The longest delay, in seconds, while somebody waits for what is queued."""

_ENDING: Final = 1.0
"""Seconds that a thread which has nothing to do may take to end."""


class Outbox(Closeable):
    """See the module. Any thread. A forked process begins with an empty one; the parent's stays the parent's.

    publisher:     does the appending.
    retry:         how to try again; when it gives up, the events are dropped.
    max_events, max_bytes: the most that may wait.
    flush_timeout: seconds that `close`, and the interpreter's exit, wait for what is there.
    observer:      told what comes of the events.
    traces:        make a span of each event: from `put` until it is stored, or lost.
    """

    _changed: threading.Condition
    _queues: StreamQueues
    _drops: Drops
    _thread: threading.Thread | None
    _flushing: int  # how many wait for what is queued
    _series: dict[StreamQueue, _Series]  # of batches that are being tried; the thread's own

    def __init__(
        self,
        publisher: Publisher,
        *,
        retry: RetryPolicy,
        max_events: int,
        max_bytes: int,
        flush_timeout: float,
        observer: Observer | None = None,
        traces: Traces | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publisher = publisher
        self._retry = retry
        self._bounds = max_events, max_bytes
        self._flush_timeout = flush_timeout
        self._observer = observer or Observer()
        self._traces = traces
        self._clock = clock
        self._closed = False
        self._guard = ForkGuard(self._start)

    def _start(self) -> None:
        self._changed = threading.Condition()
        self._queues = StreamQueues(*self._bounds)
        self._drops = Drops(self._observer, self._clock)
        self._thread = None
        self._series = {}
        self._flushing = 0

    @property
    def queued(self) -> int:
        """How many events wait, in this process."""
        self._guard.check()
        return self._queues.events

    @property
    def dropped(self) -> int:
        """How many were not published, in this process."""
        self._guard.check()
        return self._drops.count

    def put(self, stream_id: str, event: Event, key: str | None = None) -> None:
        """Have the event published soon; where there is no room, it is dropped. Returns at once.

        key: an idempotency key, which has been checked.

        Raises Closed; RuntimeError if no thread can be started.
        """
        self._guard.check()
        with self._changed:
            if self._closed:
                raise Closed("this StreamManager is closed: it publishes no more")
            self._start_thread()
            item = Item(event, key) if self._traces is None else self._traced(stream_id, event, key)
            taken = self._queues.put(stream_id, item)
            self._changed.notify_all()
        if not taken:
            _end_all([item], DropReason.FULL)
            self._drop(stream_id, 1, DropReason.FULL)

    def flush(self, timeout: float) -> bool:
        """Wait until nothing is queued, at most so many seconds; whether that is so.

        The thread that publishes doesn't wait for itself, as an observer may have it do.
        """
        self._guard.check()
        if threading.current_thread() is self._thread:
            return not self._queues.events
        with self._changed:
            self._flushing += 1
            self._queues.hurry()
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: not self._queues.events, timeout)
            finally:
                self._flushing -= 1

    def close(self) -> None:
        """Publish what is queued, as far as time allows, and drop the rest. Closing twice does nothing."""
        if self._guard.inherited:
            self._closed = True
            return
        with self._changed:
            if self._closed:
                return
            self._closed = True
        flushed, thread = self._finish(), self._thread
        atexit.unregister(self._finish)
        if flushed and thread is not None and thread is not threading.current_thread():
            thread.join(_ENDING)

    def _finish(self) -> bool:
        """Flush, and drop what is left. Whether nothing was."""
        if self._guard.inherited:
            return True
        flushed = self.flush(self._flush_timeout)
        with self._changed:
            waiting = self._queues.all()
            left = self._queues.clear()
            self._changed.notify_all()
        _end_all(waiting, DropReason.CLOSED)
        for stream_id, count in left.items():
            self._drops.add(stream_id, count, DropReason.CLOSED)
        self._drops.say()
        return flushed

    def _start_thread(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="streamy-outbox", daemon=True)
            thread.start()
            self._thread = thread
            atexit.register(self._finish)

    def _run(self) -> None:
        while (queue := self._next()) is not None:
            due = self._publish(queue)
            with self._changed:
                if due is not None and self._flushing:
                    due = min(due, self._clock() + _HURRY)
                self._queues.give_back(queue, due)
                self._changed.notify_all()

    def _next(self) -> StreamQueue | None:
        """The queue whose turn it is, as soon as there is one; None: there will be none."""
        while True:
            with self._changed:
                queue = self._queues.take(self._clock())
                if queue is not None or (self._closed and not self._queues.events):
                    return queue
                self._changed.wait(self._pause())
            due = self._drops.due()
            if due is not None and due <= self._clock():
                self._drops.say()

    def _pause(self) -> float | None:
        """Seconds until there is something to do; None: until something changes."""
        due = [at for at in (self._queues.due(), self._drops.due()) if at is not None]
        return max(0.0, min(due) - self._clock()) if due else None

    def _publish(self, queue: StreamQueue) -> float | None:
        """Try to publish a queue's batch, once. When it is to be tried again; None: it is done with."""
        if (series := self._series.get(queue)) is None:
            key = queue.batch[0].key if queue.batch[0].key is not None else self._publisher.new_key()
            series = self._series[queue] = _Series(key, Attempts(self._retry), self._clock())
        items = queue.batch
        events = [item.event for item in items]
        try:
            ids = self._publisher.append_once(queue.stream_id, events, series.key)
        except BrokerUnavailable as error:
            return self._again(queue, series.attempts, error)
        except StreamEnded as error:
            self._give_up(queue, DropReason.ENDED, error)
        except Exception as error:  # noqa: BLE001 - it is told, and must not end the thread
            self._refused(queue, series.attempts, error)
        else:
            if self._done(queue):
                seconds = self._clock() - series.began
                self._observer.published(queue.stream_id, outcome_of(ids), len(events), seconds, None)
                for item, entry_id in zip(items, ids, strict=False):
                    if item.publishing is not None:
                        item.publishing.stored((entry_id,))
                _end_all(items)
        return None

    def _again(self, queue: StreamQueue, attempts: Attempts, error: BrokerUnavailable) -> float | None:
        delay = attempts.after_failure()
        if delay is not None:
            self._observer.publish_retried(queue.stream_id, attempts.failed, delay, error)
            return self._clock() + delay
        failure = PublishFailed("publish to", queue.stream_id, attempts.failed, error)
        failure.__cause__ = error
        if self._give_up(queue, DropReason.FAILED, failure):
            self._publisher.end_after_failure(queue.stream_id)
        return None

    def _refused(self, queue: StreamQueue, attempts: Attempts, error: Exception) -> None:
        """One of the batch may be to blame. If the batch may have been stored, none may be sent anew."""
        if len(queue.batch) == 1 or attempts.failed:
            self._give_up(queue, DropReason.REFUSED, error)
            return
        del self._series[queue]
        with self._changed:
            queue.split()

    def _give_up(self, queue: StreamQueue, reason: DropReason, error: Exception) -> bool:
        items = queue.batch
        if not self._done(queue):
            return False
        _end_all(items, type(error).__qualname__)
        self._drop(queue.stream_id, len(items), reason, error)
        return True

    def _traced(self, stream_id: str, event: Event, key: str | None) -> Item:
        assert self._traces is not None
        publishing = self._traces.publishing((stream_id,), 1)
        (marked,) = publishing.marked((event,))
        return Item(marked, key, publishing)

    def _drop(self, stream_id: str, count: int, reason: DropReason, error: Exception | None = None) -> None:
        self._drops.add(stream_id, count, reason, error)
        with self._changed:
            self._changed.notify_all()  # the thread says so, if nobody has

    def _done(self, queue: StreamQueue) -> bool:
        """A queue's batch is done with; false: it was dropped meanwhile, as the outbox was closed."""
        del self._series[queue]
        with self._changed:
            return self._queues.finish(queue)


def _end_all(items: Iterable[Item], failure: str | None = None) -> None:
    for item in items:
        if item.publishing is not None:
            item.publishing.end(failure)


@dataclass(frozen=True, slots=True)
class _Series:
    """The attempts to publish one batch, by one key, since when."""

    key: str | None
    attempts: Attempts
    began: float
