"""`memory://`: streams in this process's memory, for development, tests and single-process apps.

Everything is bounded. Of a stream, the newest entries are kept, by count, bytes and age; of the
streams, those most recently written, by count and by bytes in all. A stream that is dropped leaves
a tombstone (its last id, and whether it has ended), so that its readers are told the truth when
they come back. When there are too many tombstones, the oldest go, and a cursor of a stream that
nothing is known of any more becomes a gap.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from streamy_core.broker import (
    OLDEST,
    UNPLACEABLE,
    BaseWatch,
    Broker,
    BrokerFactory,
    Closed,
    ConfigError,
    Duplicate,
    Entry,
    Event,
    ForkGuard,
    Page,
    StreamEnded,
    StreamInfo,
    Watch,
    bounded,
    hookimpl,
    make_id,
    new_epoch,
    new_nonce,
    options_of,
    sequence_of,
)
from streamy_core.ids import encode_number
from streamy_core.options import option, parse_options, seconds, whole


@hookimpl
def streamy_brokers() -> Mapping[str, BrokerFactory]:
    return {"memory": from_url}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a memory broker keeps."""

    history: int = option(1_000, whole(1), doc="The newest entries of a stream.")
    history_bytes: int = option(
        4 * 2**20, whole(1), doc="Bytes of a stream's data; its newest entry stays, however large."
    )
    history_age: float = option(3_600.0, seconds(), doc="Seconds.")
    streams: int = option(
        10_000, whole(1), doc="Streams with entries; beyond, the one idle for longest is dropped."
    )
    total_bytes: int = option(256 * 2**20, whole(1), doc="Bytes of data in all; beyond, likewise.")
    tombstones: int = option(100_000, whole(1), doc="Dropped streams that are remembered.")
    keys: int = option(1_000, whole(1), doc="Idempotency keys remembered for one stream.")


def from_url(url: str, options: Mapping[str, Any]) -> MemoryBroker:
    """The broker for `memory://?history=50&history_age=60`; `options` win over the query."""
    if url.partition("?")[0].lower() != "memory://":
        raise ConfigError("memory:// has no host and no path: memory://?history=50")
    given = {**options_of(url), **options}
    return MemoryBroker(parse_options(Limits, given, "memory:// option {!r}".format))


class MemoryBroker(Broker):
    """See the module. `clock` (seconds, never going back) is injected by tests.

    A forked process keeps the history it was born with and goes on by itself, under a new epoch.
    """

    shared: bool = False
    loses_replies: ClassVar[bool] = False

    _epoch: str
    _watches: tuple[BaseWatch, ...]
    _mutex: threading.Lock
    _never_seen: _Tombstone  # stands for all streams that nothing is known of

    def __init__(self, limits: Limits | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits or Limits()
        self._clock = clock
        self._logs: OrderedDict[str, _Log] = OrderedDict()  # the one idle for longest comes first
        self._tombstones: OrderedDict[str, _Tombstone] = OrderedDict()
        self._forgotten = 0
        self._bytes = 0
        self._idle_at = 0.0  # before that, no stream is idle beyond age
        self._closed = False
        self._guard = ForkGuard(self._start)

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        with self._lock():
            if not events:
                return []
            now = self._clock()
            log = self._log_for_writing(stream_id, now)
            if idempotency_key is not None and (known := log.keys.get(idempotency_key)):
                return Duplicate(known)
            if log.end is not None:
                raise StreamEnded(stream_id)
            ids = self._store(log, stream_id, events, now)
            if idempotency_key is not None:
                log.remember(idempotency_key, ids, self._limits.keys)
            self._tidy(now)
            watches = self._watches
        for watch in watches:
            watch.ring((stream_id,))
        return ids

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

    def _log_for_writing(self, stream_id: str, now: float) -> _Log:
        log = self._logs.get(stream_id)
        if log is None:
            stone = self._remembered(stream_id)
            self._tombstones.pop(stream_id, None)
            log = self._logs[stream_id] = _Log(stone.last, stone.end, new_nonce())
        else:
            self._logs.move_to_end(stream_id)
        log.written_at = now
        return log

    def _remembered(self, stream_id: str) -> _Tombstone:
        """What is known of a stream that has no log. Of one never seen: that it is empty."""
        return self._tombstones.get(stream_id) or self._never_seen

    def _name_the_unknown(self) -> None:
        """Who comes back with the id of a stream that has been forgotten since is to be told of a gap."""
        self._never_seen = _Tombstone(make_id(self._epoch, 0, encode_number(self._forgotten)), None)

    def _id_after(self, log: _Log) -> str:
        return make_id(self._epoch, log.sequence + 1, log.nonce)

    def _store(self, log: _Log, stream_id: str, events: Sequence[Event], now: float) -> list[str]:
        ids: list[str] = []
        for event in events:
            entry_id = self._id_after(log)
            self._bytes += log.append(Entry(entry_id, stream_id, event), now)
            ids.append(entry_id)
        self._trim(log, now)
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

    def _trim(self, log: _Log, now: float) -> None:
        limits = self._limits
        while len(log.entries) > limits.history or (
            log.bytes > limits.history_bytes and len(log.entries) > 1
        ):
            self._bytes -= log.drop_oldest()
        self._expire(log, now)

    def _expire(self, log: _Log, now: float) -> None:
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
            self._tombstones[name] = _Tombstone(log.last, log.end)
        while len(self._tombstones) > limits.tombstones:
            self._tombstones.popitem(last=False)
            self._forgotten += 1
            self._name_the_unknown()


class _Tombstone(NamedTuple):
    last: str
    end: str | None


class _Log:
    """One stream's entries, and what is known of those already dropped."""

    __slots__ = (
        "before",
        "bytes",
        "end",
        "entries",
        "keys",
        "last",
        "nonce",
        "sequence",
        "times",
        "written_at",
    )

    def __init__(self, last: str, end: str | None, nonce: str) -> None:
        self.entries: deque[Entry] = deque()
        self.times: deque[float] = deque()  # when each was appended
        self.before = last  # the cursor before the oldest entry
        self.last = last  # the newest entry's id
        self.sequence = sequence_of(last) or 0  # the newest entry's
        self.end = end  # the end's own id, once the stream has ended
        self.nonce = nonce  # tells its entries from those of a log of this name that was forgotten
        self.bytes = 0
        self.keys: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self.written_at = 0.0

    def append(self, entry: Entry, now: float) -> int:
        """Add an entry and return its bytes."""
        size = entry.event.size
        self.entries.append(entry)
        self.times.append(now)
        self.bytes += size
        self.last = entry.id
        self.sequence += 1
        return size

    def drop_oldest(self) -> int:
        """Drop one entry and return its bytes."""
        dropped = self.entries.popleft()
        self.times.popleft()
        self.before = dropped.id
        self.bytes -= dropped.event.size
        return dropped.event.size

    def count_up_to(self, cursor: str) -> int | None:
        """How many entries lie at or before `cursor`, or None if it isn't one of theirs."""
        if cursor == self.last:
            return len(self.entries)
        if len(self.entries) > 1 and cursor == self.entries[-2].id:
            return len(self.entries) - 1  # whoever keeps up asks from here
        sequence = sequence_of(cursor)
        count = -1 if sequence is None else sequence - self.sequence + len(self.entries)
        if not 0 < count < len(self.entries):
            return None
        return count if self.entries[count - 1].id == cursor else None

    def cursor_at(self, count: int) -> str:
        """The cursor after so many of its entries; OLDEST for none, or fewer."""
        return self.entries[count - 1].id if count > 0 else OLDEST

    def entries_from(self, first: int, limit: int, max_bytes: int | None) -> tuple[Entry, ...]:
        if first == len(self.entries) - 1:
            return (self.entries[-1],)  # whoever keeps up asks from here
        # By index: a deque's own iterator would walk to the first from its beginning.
        return bounded(map(self.entries.__getitem__, range(first, len(self.entries))), limit, max_bytes)

    def remember(self, key: str, ids: list[str], most: int) -> None:
        self.keys[key] = tuple(ids)
        if len(self.keys) > most:
            self.keys.popitem(last=False)
