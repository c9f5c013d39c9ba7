"""The broker: which streams there are, and what is dropped when."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import ClassVar

from streamy_core.broker import (
    OLDEST,
    UNPLACEABLE,
    BaseWatch,
    Broker,
    Closed,
    Duplicate,
    Event,
    ForkGuard,
    Page,
    StreamEnded,
    StreamInfo,
    Watch,
    make_id,
    new_epoch,
    new_nonce,
)
from streamy_core.ids import encode_number

from .log import Log, Tombstone
from .options import Limits


def size_of(events: Sequence[Event]) -> int:
    """The bytes of their data."""
    return events[0].size if len(events) == 1 else sum([event.size for event in events])


class MemoryBroker(Broker):
    """See the package. `clock` (seconds, never going back) is injected by tests.

    A forked process keeps the history it was born with and goes on by itself, under a new epoch.
    """

    shared: bool = False
    loses_replies: ClassVar[bool] = False
    keeps_meta: bool = True

    _epoch: str
    _watches: tuple[BaseWatch, ...]
    _mutex: threading.Lock
    _never_seen: Tombstone  # stands for all streams that nothing is known of

    def __init__(self, limits: Limits | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits or Limits()
        self._clock = clock
        self._logs: OrderedDict[str, Log] = OrderedDict()  # the one idle for longest comes first
        self._tombstones: OrderedDict[str, Tombstone] = OrderedDict()
        self._forgotten = 0
        self._bytes = 0
        self._idle_at = 0.0  # before that, no stream is idle beyond age
        self._closed = False
        self._guard = ForkGuard(self._start)

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        return self._append_to_one(stream_id, events, idempotency_key, last=False)

    def append_last(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        """See AppendsLast."""
        return self._append_to_one(stream_id, events, idempotency_key, last=True)

    def _append_to_one(
        self, stream_id: str, events: Sequence[Event], key: str | None, *, last: bool
    ) -> list[str]:
        with self._lock():
            if not events:
                return []
            now, size = self._clock(), size_of(events)
            ids = self._append(stream_id, events, size, key, now)
            if last and ids is not None and not isinstance(ids, Duplicate):
                log = self._logs[stream_id]
                log.end = self._id_after(log)
            self._tidy(now)
            watches = self._watches
        if ids is None:
            raise StreamEnded(stream_id)
        for watch in watches:
            watch.ring((stream_id,))
        return ids

    def append_to_many(
        self, batches: Mapping[str, Sequence[Event]], *, idempotency_key: str | None = None
    ) -> Mapping[str, list[str]]:
        """See AppendsToMany."""
        measured: Sequence[Event] = ()
        size = 0
        stored: dict[str, list[str]] = {}
        with self._lock():
            now = self._clock()
            for name, events in batches.items():
                if events is not measured:
                    measured, size = events, size_of(events)
                if events and (ids := self._append(name, events, size, idempotency_key, now)) is not None:
                    stored[name] = ids
            self._tidy(now)
            watches = self._watches
        for watch in watches:
            watch.ring(stored)
        return {name: [] for name, events in batches.items() if not events} | stored

    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        share = None if max_bytes is None or not cursors else max_bytes // len(cursors)
        with self._lock():
            now = self._clock()
            return {name: self._page(name, cursor, limit, share, now) for name, cursor in cursors.items()}

    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        with self._lock():
            known = {name: self._logs.get(name) or self._tombstones.get(name) for name in stream_ids}
            return {name: (log or self._never_seen).last for name, log in known.items()}

    def back(self, cursors: Mapping[str, str | None], entries: int) -> Mapping[str, str]:
        """See ReadsBack."""
        with self._lock():
            now = self._clock()
            return {name: self._back(name, cursor, entries, now) for name, cursor in cursors.items()}

    def since(self, stream_ids: Collection[str], seconds: float) -> Mapping[str, str]:
        """See ReadsBack."""
        with self._lock():
            now = self._clock()
            logs = {name: self._logs.get(name) for name in stream_ids}
            for log in logs.values():
                if log is not None:
                    self._expire(log, now)
            began = now - seconds
            return {
                name: log.cursor_at(bisect_left(log.times, began)) if log else OLDEST
                for name, log in logs.items()
            }

    def end(self, stream_id: str) -> None:
        with self._lock():
            now = self._clock()
            log = self._log_for_writing(stream_id, now)
            if log.end is not None:
                return
            log.end = self._id_after(log)
            self._tidy(now)
            watches = self._watches
        for watch in watches:
            watch.ring((stream_id,))

    def watch(self) -> Watch:
        with self._lock():
            watch = BaseWatch(self._unwatch)
            self._watches = (*self._watches, watch)
            return watch

    def streams(self) -> Iterable[StreamInfo]:
        with self._lock():
            now = self._clock()
            for log in self._logs.values():
                self._expire(log, now)
            logs = {name: (len(log.entries), log.last, log.end) for name, log in self._logs.items()}
            dead = {name: (0, stone.last, stone.end) for name, stone in self._tombstones.items()}
        rows = sorted({**dead, **logs}.items())
        return [StreamInfo(name, count, last, end is not None) for name, (count, last, end) in rows]

    def close(self) -> None:
        if self._closed:
            return
        with self._lock():
            self._closed = True
            watches, self._watches = self._watches, ()
            self._logs.clear()
            self._tombstones.clear()
        for watch in watches:
            watch.close()

    def _start(self) -> None:
        self._epoch = new_epoch()
        self._name_the_unknown()
        self._watches = ()
        self._mutex = threading.Lock()

    def _lock(self) -> threading.Lock:
        self._guard.check()
        if self._closed:
            raise Closed("this memory broker has been closed")
        return self._mutex

    def _unwatch(self, watch: BaseWatch) -> None:
        with self._mutex:
            self._watches = tuple(other for other in self._watches if other is not watch)

    def _log_for_writing(self, stream_id: str, now: float) -> Log:
        log = self._logs.get(stream_id)
        if log is None:
            stone = self._remembered(stream_id)
            self._tombstones.pop(stream_id, None)
            log = self._logs[stream_id] = Log(stone.last, stone.end, new_nonce())
        else:
            self._logs.move_to_end(stream_id)
        log.written_at = now
        return log

    def _remembered(self, stream_id: str) -> Tombstone:
        """What is known of a stream that has no log. Of one never seen: that it is empty."""
        return self._tombstones.get(stream_id) or self._never_seen

    def _name_the_unknown(self) -> None:
        """Who comes back with the id of a stream that has been forgotten since is to be told of a gap."""
        self._never_seen = Tombstone(make_id(self._epoch, 0, encode_number(self._forgotten)), None)

    def _id_after(self, log: Log) -> str:
        return make_id(self._epoch, log.sequence + 1, log.nonce)

    def _append(
        self, stream_id: str, events: Sequence[Event], size: int, key: str | None, now: float
    ) -> list[str] | None:
        """The new entries' ids, or those of the key's first time; None if the stream has ended."""
        log = self._log_for_writing(stream_id, now)
        if key is not None and (known := log.keys.get(key)):
            return Duplicate(known)
        if log.end is not None:
            return None
        ids = log.append(stream_id, self._epoch, events, size, now)
        self._bytes += size
        limits = self._limits
        if (
            len(log.entries) > limits.history
            or log.bytes > limits.history_bytes
            or log.times[0] < now - limits.history_age
        ):
            self._trim(log, now)
        if key is not None:
            log.remember(key, ids, limits.keys)
        return ids

    def _page(self, stream_id: str, cursor: str, limit: int, max_bytes: int | None, now: float) -> Page:
        log = self._logs.get(stream_id)
        if log is None:
            stone = self._remembered(stream_id)
            if cursor in (stone.last, OLDEST):
                return Page((), stone.end or stone.last, ended=stone.end is not None)
            if cursor == stone.end:
                return Page((), cursor, ended=True)
            return Page((), stone.last, gap=True)
        self._expire(log, now)
        if cursor == log.end:
            return Page((), cursor, ended=True)
        passed = 0 if cursor in (OLDEST, log.before) else log.count_up_to(cursor)
        if passed is None:
            return Page((), log.before, gap=True)
        entries = log.entries_from(passed, limit, max_bytes)
        more = passed + len(entries) < len(log.entries)
        if log.end is not None and not more:
            return Page(entries, log.end, ended=True)
        after = entries[-1].id if entries else log.before if passed == 0 else cursor
        return Page(entries, after, more=True) if more else Page(entries, after)

    def _back(self, stream_id: str, cursor: str | None, entries: int, now: float) -> str:
        log = self._logs.get(stream_id)
        if log is None:
            stone = self._remembered(stream_id)
            return OLDEST if cursor in (None, OLDEST, stone.last, stone.end) else UNPLACEABLE
        self._expire(log, now)
        if cursor in (OLDEST, log.before):
            return OLDEST
        count = len(log.entries) if cursor in (None, log.end) else log.count_up_to(cursor)
        return UNPLACEABLE if count is None else log.cursor_at(count - entries)

    def _trim(self, log: Log, now: float) -> None:
        limits = self._limits
        while len(log.entries) > limits.history or (
            log.bytes > limits.history_bytes and len(log.entries) > 1
        ):
            self._bytes -= log.drop_oldest()
        self._expire(log, now)

    def _expire(self, log: Log, now: float) -> None:
        oldest_kept = now - self._limits.history_age
        while log.times and log.times[0] < oldest_kept:
            self._bytes -= log.drop_oldest()

    def _tidy(self, now: float) -> None:
        """Drop streams that are idle beyond age, or are too many, and then tombstones likewise."""
        limits = self._limits
        if now < self._idle_at and len(self._logs) <= limits.streams and self._bytes <= limits.total_bytes:
            return
        oldest_kept = now - limits.history_age
        while len(self._logs) > 1:
            name, log = next(iter(self._logs.items()))
            crowded = len(self._logs) > limits.streams or self._bytes > limits.total_bytes
            if not crowded and log.written_at >= oldest_kept:
                self._idle_at = log.written_at + limits.history_age
                break
            del self._logs[name]
            self._bytes -= log.bytes
            self._tombstones[name] = Tombstone(log.last, log.end)
        while len(self._tombstones) > limits.tombstones:
            self._tombstones.popitem(last=False)
            self._forgotten += 1
            self._name_the_unknown()
