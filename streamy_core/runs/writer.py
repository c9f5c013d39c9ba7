"""Writes what one run yields to its log, in order, and ends it once."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from ..engine.publisher import Publisher
from ..errors import BrokerUnavailable, PublishFailed, RunStopped, StreamEnded
from ..events import Event
from ..exact import exact_text
from .coalescing import Buffer, Coalesce
from .flusher import Flusher
from .progress import EVERY, NAME, Progress

_BOUND: Final = 256 * 2**10
"""Characters that may wait in a run: then whoever yields more waits, too."""


class Writer:
    """See the module. Any thread; what one thread puts is in order.

    how: how pieces are put together; None: each is written by the thread that puts it.

    Once the stream has ended, or writing has failed for good, whatever is put raises.
    """

    def __init__(
        self,
        stream_id: str,
        publisher: Publisher,
        flusher: Flusher[Writer],
        how: Coalesce | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream_id: Final = stream_id
        self._publisher = publisher
        self._flusher = flusher
        self._how = how
        self._clock = clock
        self._most = publisher.most_text
        self._buffer = Buffer(how or Coalesce(1.0), publisher.event, self._most)
        self._changed = threading.Condition(threading.Lock())  # of what waits
        self._writing = threading.Lock()  # held by whoever writes: one at a time, in order
        self._due = math.inf  # when the flusher comes
        self._failure: Exception | None = None
        self._over = False
        self._asked_in_vain = False  # it was to be written while somebody was writing
        self._progress: Event | None = None  # the newest that waits
        self._progress_at = -math.inf
        self._safe_name: object = _NOTHING
        self._taken = 0  # entries that are being written
        self.entries: int = 0

    @property
    def failure(self) -> Exception | None:
        """Why nothing can be written any more; None: it can."""
        return self._failure

    def put(self, data: Any, name: str | None) -> None:
        """Write a piece, or have it written soon. `data` may be an `Event`, which is an entry by itself.

        Raises InvalidEvent, and then nothing of it is written; RunStopped once the stream has ended;
        PublishFailed.
        """
        publisher = self._publisher
        if isinstance(data, Event):
            self._put_event(publisher.check(data))
            return
        text = data if type(data) is str else exact_text(data)
        if self._how is None or (text is None and self._how.join is None):
            self._put_event(publisher.event(data, name))
            return
        if text is None or name is not self._safe_name or "\0" in text or not text.isascii():
            size = len(publisher.event(data, name).data)  # whether it can be carried
            self._safe_name = name
        elif (size := len(text)) > self._most:
            publisher.event(text, name)
        self._put_piece(data if text is None else text, name, size)

    def put_progress(self, progress: Progress) -> None:
        """Write how far it is, at most every `EVERY` seconds: the newest, and the last always. Raises as
        `put`."""
        event = self._publisher.event(progress.told(), NAME)
        now = self._clock()
        with self._changed:
            self._check()
            self._progress = event
            if (due := self._progress_at + EVERY) > now:
                self._ask(due)
                return
            self._take_progress(now)
            if self._how is not None:
                self._ask(now)
                return
        self._write()
        with self._changed:
            self._check()

    def flush(self) -> None:
        """Write all that waits, unless writing has failed, or fails: `failure` says so then."""
        with self._changed:
            self._take_progress(self._clock())
        self._write()

    def end(self, last: Event) -> bool:
        """Write what waits, then the last entry, and end the stream, in one step; false: others were first,
        or have ended it. Raises PublishFailed, Closed; what joining pieces raises."""
        with self._writing:
            try:
                with self._changed:
                    if self._failure is not None and not isinstance(self._failure, StreamEnded):
                        self._buffer.take()
                    self._take_progress(self._clock())
                    events = self._buffer.take()
                self._publisher.publish_last(self.stream_id, [*events, last])
            except StreamEnded as error:
                self._fail(error)
                return False
            finally:
                with self._changed:
                    self._over = True
                    self._failure = self._failure or StreamEnded(self.stream_id)
                    self._changed.notify_all()
        self.entries += len(events)
        return True

    def take(self) -> list[Event]:
        """What waits: nobody else writes then, until it is settled. Empty, with nothing to settle, if nothing
        waits or somebody is writing."""
        with self._changed:
            if not self._writing.acquire(blocking=False):
                self._asked_in_vain = True
                return []
            self._due = math.inf
            events: list[Event] = []
            with suppress(BaseException):  # of what joins pieces: by it, this run alone has failed
                events = self._take_due()
            if not events:
                self._release()
            return events

    def settle(self, error: BaseException | None) -> None:
        """What was taken is written, or why it may not be."""
        with self._changed:
            if error is None:
                self.entries += self._taken
            else:
                self._failure = self._failure or self._failure_of(error)
            self._release()

    def _put_event(self, event: Event) -> None:
        with self._changed:
            self._wait_for_room()
            self._buffer.add_event(event, self._clock())
            if self._how is not None:
                self._ask(self._buffer.due)
                return
        self._write()
        with self._changed:
            self._check()

    def _put_piece(self, data: Any, name: str | None, size: int) -> None:
        with self._changed:
            if self._failure is not None or self._buffer.size >= _BOUND:
                self._wait_for_room()
            self._buffer.add(data, name, size, self._clock())
            if self._buffer.due < self._due:
                self._ask(self._buffer.due)

    def _wait_for_room(self) -> None:
        while self._failure is None and self._buffer.size >= _BOUND:
            self._changed.wait()
        self._check()

    def _ask(self, due: float) -> None:
        """Have the flusher come by then."""
        if due < self._due:
            self._flusher.flush_at(due, self)
            self._due = due

    def _take_progress(self, now: float) -> None:
        progress, self._progress = self._progress, None
        if progress is not None:
            self._progress_at = now
            self._buffer.add_event(progress, now)

    def _write(self) -> None:
        error: BaseException | None = None
        self._writing.acquire()
        try:
            with self._changed:
                events = self._take_due()
            if events:
                self._publisher.publish(self.stream_id, events, may_end=False)
        except BaseException as raised:
            error = raised
            if not isinstance(raised, Exception):
                raise  # this thread is interrupted; of others whoever yields is told
        finally:
            self.settle(error)

    def _take_due(self) -> list[Event]:
        self._taken = 0
        if self._failure is not None or self._over:
            return []
        now = self._clock()
        if self._progress is not None and self._progress_at + EVERY <= now + _EARLY:
            self._take_progress(now)
        if self._progress is not None:
            self._ask(self._progress_at + EVERY)
        events: list[Event] = []
        try:
            events = self._buffer.take()
        except BaseException as error:
            self._failure = self._failure_of(error)
            if not isinstance(error, Exception):
                raise
        self._taken = len(events)
        self._changed.notify_all()
        return events

    def _release(self) -> None:
        """Nobody writes any more: others may, and are asked to if they were in vain."""
        self._writing.release()
        self._changed.notify_all()
        if self._asked_in_vain:
            self._asked_in_vain = False
            self._due = math.inf
            self._ask(self._clock())

    def _failure_of(self, error: BaseException) -> Exception:
        if isinstance(error, Exception):
            return error
        fault = BrokerUnavailable(f"writing was interrupted by {type(error).__name__}")
        return PublishFailed("publish to", self.stream_id, 1, fault)

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def _check(self) -> None:
        if self._failure is None:
            return
        if isinstance(self._failure, StreamEnded):
            raise RunStopped(self.stream_id, "ended")
        raise self._failure.with_traceback(None)


def write_all(publisher: Publisher, writers: Iterable[Writer]) -> None:
    """Write what is due in these, together."""
    batches: dict[str, list[Event]] = {}
    taken: dict[str, Writer] = {}
    others: list[Writer] = []
    try:
        for writer in writers:
            if writer.stream_id in taken:
                others.append(writer)  # of a run that is over, and whose name another has
            elif events := writer.take():
                taken[writer.stream_id], batches[writer.stream_id] = writer, events
        publisher.publish_each(batches, lambda name, error: taken.pop(name).settle(error))
    except BaseException as error:
        for writer in taken.values():
            writer.settle(error)
        raise
    if others:
        write_all(publisher, others)


_EARLY: Final = 0.01
_NOTHING: Final = object()
