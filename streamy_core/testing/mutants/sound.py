"""A small broker that keeps every promise, for mutants to break: in memory, or shared by a folder."""

from __future__ import annotations

import fcntl
import pickle
import threading
import time
from bisect import bisect_left
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes
from typing import IO, Final

from ...broker import (
    OLDEST,
    UNPLACEABLE,
    BaseWatch,
    Broker,
    Closed,
    Duplicate,
    Entry,
    Event,
    ForkGuard,
    Page,
    StreamEnded,
    StreamInfo,
    Watch,
    bounded,
    make_id,
    new_epoch,
    new_nonce,
)
from ...broker.watches import OnClose

_LOOK_EVERY: Final = 0.005
"""Seconds between two looks at what other processes have stored."""
_KEYS: Final = 1_000
_TOKEN: Final = 8
"""Bytes at the beginning of the file, that are others each time it is written."""


@dataclass
class Log:
    """One stream."""

    before: str
    nonce: str = field(default_factory=new_nonce)
    count: int = 0
    entries: list[Entry] = field(default_factory=list[Entry])
    times: list[float] = field(default_factory=list[float])
    end: str | None = None
    keys: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    @property
    def last(self) -> str:
        return self.entries[-1].id if self.entries else self.before

    def drop_oldest(self) -> None:
        self.before = self.entries.pop(0).id
        self.times.pop(0)

    def place(self, cursor: str) -> int | None:
        """How many entries lie at or before the cursor; None if it is none of this log."""
        if cursor in (OLDEST, self.before):
            return 0
        places = range(len(self.entries), 0, -1)
        return next((n for n in places if self.entries[n - 1].id == cursor), None)

    def cursor_at(self, count: int) -> str:
        return self.entries[count - 1].id if count > 0 else OLDEST


class SoundBroker(Broker):
    """Streams in memory, or, given a folder, in a file there: for all processes that are given it."""

    _watches: tuple[BaseWatch, ...]
    _mutex: threading.RLock

    rings_within: float = 0.5
    keeps_meta: bool = True

    def __init__(
        self, folder: Path | None = None, history: int = 10_000, watch: type[BaseWatch] | None = None
    ) -> None:
        self._folder = folder
        self._kind_of_watch = watch
        self._history = history
        self.shared: bool = folder is not None
        self._logs: dict[str, Log] = {}
        self._epoch = new_epoch()
        self._seen: object = None
        self._closed = False
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._guard = ForkGuard(self._start)

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        with self.opened(to_write=bool(events)):
            if not events:
                return []
            ids = self._append_to(self._log_for_writing(stream_id), stream_id, events, idempotency_key)
        if not isinstance(ids, Duplicate):
            self._ring(stream_id)
        return ids

    def append_last(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        with self.opened(to_write=True):
            log = self._log_for_writing(stream_id)
            ids = self._append_to(log, stream_id, events, idempotency_key)
            log.end = log.end or self._id_after(log)
        self._ring(stream_id)
        return ids

    def append_to_many(
        self, batches: Mapping[str, Sequence[Event]], *, idempotency_key: str | None = None
    ) -> Mapping[str, list[str]]:
        stored: dict[str, list[str]] = {}
        for name, events in batches.items():
            with suppress(StreamEnded):
                stored[name] = self.append(name, events, idempotency_key=idempotency_key)
        return stored

    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        share = None if max_bytes is None or not cursors else max_bytes // len(cursors)
        with self.opened():
            return {name: self._page(name, cursor, limit, share) for name, cursor in cursors.items()}

    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        with self.opened():
            return {name: self.log(name).last for name in stream_ids}

    def end(self, stream_id: str) -> None:
        with self.opened(to_write=True):
            log = self._log_for_writing(stream_id)
            if log.end is not None:
                return
            log.end = self._id_after(log)
        self._ring(stream_id)

    def watch(self) -> Watch:
        with self.opened():
            watch = self._new_watch()
            self._watches = (*self._watches, watch)
            return watch

    def back(self, cursors: Mapping[str, str | None], entries: int) -> Mapping[str, str]:
        with self.opened():
            return {name: self._back(self.log(name), cursor, entries) for name, cursor in cursors.items()}

    def since(self, stream_ids: Collection[str], seconds: float) -> Mapping[str, str]:
        with self.opened():
            logs = {name: self.log(name) for name in stream_ids}
            began = time.time() - seconds
            return {name: log.cursor_at(bisect_left(log.times, began)) for name, log in logs.items()}

    def streams(self) -> Iterable[StreamInfo]:
        with self.opened():
            return [
                StreamInfo(name, len(log.entries), log.last, log.end is not None)
                for name, log in sorted(self._logs.items())
            ]

    def forget(self, idle_for: float, *, ended: bool = False) -> int:
        with self.opened(to_write=True):
            idle = [name for name, log in self._logs.items() if self._is_idle(log, idle_for, ended)]
            for name in idle:
                del self._logs[name]
            self._epoch = new_epoch() if idle else self._epoch
            return len(idle)

    def create_tables(self) -> None:
        with self.opened():
            pass

    def time(self) -> float:
        with self.opened():
            return time.time()

    def close(self) -> None:
        self._guard.check()
        with self._mutex:
            self._closed = True
            watches, self._watches = self._watches, ()
        for watch in watches:
            watch.close()

    def _start(self) -> None:
        self._watches = ()
        self._mutex = threading.RLock()
        if self._folder is None:
            self._epoch = new_epoch()

    @contextmanager
    def opened(self, *, to_write: bool = False) -> Generator[None]:
        """The logs, for nobody else meanwhile."""
        self._guard.check()
        with self._mutex:
            if self._closed:
                raise Closed("this broker has been closed")
            if self._folder is None:
                yield
                return
            with self._locked(self._folder):
                self._load()
                yield
                if to_write:
                    self._save()

    @contextmanager
    def _locked(self, folder: Path) -> Generator[None]:
        with self.lock_of(folder) as lock:
            try:
                yield
            finally:
                fcntl.flock(lock, fcntl.LOCK_UN)  # not by closing: a child forked meanwhile has it open

    def lock_of(self, folder: Path) -> IO[str]:
        lock = (folder / "lock").open("a")
        fcntl.flock(lock, fcntl.LOCK_EX)
        return lock

    @property
    def file(self) -> Path:
        assert self._folder is not None
        return self._folder / "logs"

    def _load(self) -> None:
        state = state_of(self.file)
        if state is None:
            self._save()
        elif state != self._seen:
            self._epoch, self._logs = pickle.loads(self.file.read_bytes()[_TOKEN:])
            self._seen = state

    def _save(self) -> None:
        self._write(self.file.with_name("fresh"))

    def _write(self, fresh: Path) -> None:
        fresh.write_bytes(token_bytes(_TOKEN) + pickle.dumps((self._epoch, self._logs)))
        fresh.replace(self.file)  # whole, or not at all
        self._seen = state_of(self.file)

    def _new_watch(self) -> BaseWatch:
        if self._kind_of_watch is not None:
            watch = self._kind_of_watch(self._unwatch)
            watch.broker = self  # type: ignore[attr-defined]
            return watch
        return BaseWatch(self._unwatch) if self._folder is None else SharedWatch(self._unwatch, self)

    def _unwatch(self, watch: BaseWatch) -> None:
        with self._mutex:
            self._watches = tuple(other for other in self._watches if other is not watch)

    def _ring(self, stream_id: str) -> None:
        for watch in self._watches:
            watch.ring((stream_id,))

    def log(self, stream_id: str) -> Log:
        return self._logs.get(stream_id) or Log(make_id(self._epoch, 0, "000"))

    def _log_for_writing(self, stream_id: str) -> Log:
        return self._logs.setdefault(stream_id, self.log(stream_id))

    def _id_after(self, log: Log) -> str:
        return make_id(self._epoch, log.count + 1, log.nonce)

    def _append_to(self, log: Log, stream_id: str, events: Sequence[Event], key: str | None) -> list[str]:
        """The ids of what is stored now; or of what was under this key before, as a `Duplicate`."""
        if key is not None and (known := log.keys.get(key)):
            return Duplicate(known)
        if log.end is not None:
            raise StreamEnded(stream_id)
        ids = self._store(log, stream_id, events)
        if key is not None:
            self._remember(log, key, ids)
        return ids

    def _store(self, log: Log, stream_id: str, events: Sequence[Event]) -> list[str]:
        ids: list[str] = []
        for event in events:
            ids.append(self._id_after(log))
            log.count += 1
            log.entries.append(Entry(ids[-1], stream_id, event))
            log.times.append(time.time())
        self._trim(log)
        return ids

    def _trim(self, log: Log) -> None:
        while len(log.entries) > self._history:
            log.drop_oldest()

    def _remember(self, log: Log, key: str, ids: list[str]) -> None:
        log.keys[key] = ids
        if len(log.keys) > _KEYS:
            del log.keys[next(iter(log.keys))]

    def _page(self, stream_id: str, cursor: str, limit: int, max_bytes: int | None) -> Page:
        log = self.log(stream_id)
        if cursor == log.end:
            return Page((), cursor, ended=True)
        passed = log.place(cursor)
        if passed is None:
            return Page((), log.before, gap=True)
        entries = bounded(log.entries[passed:], limit, max_bytes)
        more = passed + len(entries) < len(log.entries)
        if log.end is not None and not more:
            return Page(entries, log.end, ended=True)
        return Page(entries, entries[-1].id if entries else cursor or log.before, more=more)

    def _back(self, log: Log, cursor: str | None, entries: int) -> str:
        place = len(log.entries) if cursor in (None, log.end) else log.place(cursor or OLDEST)
        return UNPLACEABLE if place is None else log.cursor_at(place - entries)

    def _is_idle(self, log: Log, idle_for: float, ended: bool) -> bool:
        is_old = not log.times or log.times[-1] < time.time() - idle_for
        return is_old and (log.end is not None or not ended)


class SharedWatch(BaseWatch):
    """Looks at the file for what other processes have stored."""

    def __init__(self, on_close: OnClose, broker: SoundBroker) -> None:
        super().__init__(on_close)
        self._broker = broker
        self._known: dict[str, object] = {}
        self._state: object = None

    def add(self, stream_id: str) -> None:
        with self._broker.opened(), self._lock:
            super().add(stream_id)
            self._known.setdefault(stream_id, self.head_of(stream_id))

    def discard(self, stream_id: str) -> None:
        with self._lock:
            super().discard(stream_id)
            self._known.pop(stream_id, None)

    def head_of(self, stream_id: str) -> object:
        log = self._broker.log(stream_id)
        return log.last, log.end

    def _listen(self, timeout: float | None) -> None:
        super()._listen(_LOOK_EVERY if timeout is None else min(timeout, _LOOK_EVERY))
        state = state_of(self._broker.file)
        if state != self._state and not self._closed:
            self._state = state
            self.look()

    def look(self) -> None:
        with self._broker.opened(), self._lock:
            heads = {name: self.head_of(name) for name in self._known}
            grown = {name: head for name, head in heads.items() if self._known[name] != head}
            self._known.update(grown)
            self._mark(grown)


def state_of(file: Path) -> object:
    """What is new whenever the file is; None if it isn't there."""
    try:
        with file.open("rb") as opened:
            return opened.read(_TOKEN)
    except FileNotFoundError:
        return None
