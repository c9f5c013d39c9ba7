"""The broker: what is asked and stored in which transaction, and when the tables are made."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from sqlalchemy import URL, MetaData
from sqlalchemy.engine.interfaces import DBAPICursor

from streamy_core.broker import (
    BaseWatch,
    Broker,
    BrokerUnavailable,
    Closed,
    ConfigError,
    Duplicate,
    Event,
    ForkGuard,
    Page,
    StreamEnded,
    StreamInfo,
    Watch,
    make_id,
    new_nonce,
)

from .batches import Batch, ManyBatch, Stored, hashed, ids_of
from .database import Database
from .earlier import EarlierCursors
from .faults import Conflict, MissingTable, append_once_more, contradiction, once_more
from .logs import Logs
from .looks import Looks
from .meta import with_meta
from .migrations import register_with_old_alembic
from .options import Options
from .pages import ANY_BYTES, ANY_ENTRIES, NO_ENTRY
from .readiness import Readiness
from .retention import Retention, now_ms
from .sessions import Borrowed, borrow
from .tables import Tables, add_tables
from .watch import SqlWatch

logger: Final = logging.getLogger("streamy.sql")


class SqlBroker(Broker):
    """See the package. Any thread; a forked process gets connections of its own.

    Made by `from_url`, as a rule. Connects to nothing before it is used.
    """

    keeps_meta: bool = True

    _database: Database
    _logs: Logs
    _earlier: EarlierCursors
    _retention: Retention
    _readiness: Readiness
    _looks: Looks
    _watches: tuple[SqlWatch, ...]
    _lock: threading.Lock

    def __init__(self, url: URL, options: Options) -> None:
        self._url = url
        self._options = options
        self._metadata = MetaData()
        self._tables: Tables = add_tables(self._metadata, prefix=options.table_prefix, schema=options.schema)
        self._closed = False
        self._inherited: list[object] = []  # a parent's connections, never closed here
        self._guard = ForkGuard(self._start)

    def check(self) -> None:
        """See whether the database has what is needed; logs that it is away. Raises ConfigError, closed.

        What is away now, or has no tables yet, is looked at again when it is first used.
        """
        register_with_old_alembic()
        try:
            self._look()
        except BaseException:
            self.close()
            raise

    def _look(self) -> None:
        try:
            self._ready()
            self._try_writing()
        except ConfigError as error:
            if not isinstance(error.__cause__, MissingTable):
                raise
            logger.warning("%s", error)  # `flask streamy init-db` needs an app that starts
        except BrokerUnavailable as error:
            if self._database.is_wrong_setup(error):
                raise ConfigError(str(error)) from error
            logger.warning("%s can't be reached now, and may come later: %s", self._database.url, error)

    def _try_writing(self) -> None:
        database = self._database
        if database.dialect.lone_writer:  # whose file tells at once
            return
        name = f"streamy.probe.{new_nonce()}{new_nonce()}"  # which nobody else writes to
        with self._readiness.tables_there(), database.autocommit("try to publish") as db:
            database.dialect.undone_append(db, self._batch(name, [Event("")], new_nonce()))

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        self._ready()
        if not events:
            return []
        return append_once_more(partial(self._append, stream_id, events, idempotency_key), idempotency_key)

    def append_last(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        """See AppendsLast. One transaction."""
        self._ready()
        if not events:
            return []
        append = partial(self._append, stream_id, events, idempotency_key, last=True)
        return append_once_more(append, idempotency_key)

    def _append(
        self, stream_id: str, events: Sequence[Event], key: str | None, *, last: bool = False
    ) -> list[str]:
        batch = self._batch(stream_id, events, key)
        refusal: Exception = StreamEnded(stream_id)
        dialect = self._database.dialect
        try:
            with self._database.transaction("append", dialect.begin_several if last else dialect.begin) as db:
                stored = dialect.append(db, batch, alone=not last)
                if last and stored is not None:
                    self._logs.end(db, stream_id, batch.epoch, new_nonce())
        except MissingTable as error:
            raise self._readiness.without_tables(error) from error
        except Conflict as error:
            refusal, stored = ConfigError(contradiction(stream_id, error)), None
        if stored is not None:
            self._retention.start()
            self._tell_of(stream_id, stored, len(events))
            return ids_of(batch, stored)
        with self._readiness.tables_there(), self._database.autocommit("find a key") as db:
            return self._remembered(db, batch, otherwise=refusal)

    def append_to_many(
        self, batches: Mapping[str, Sequence[Event]], *, idempotency_key: str | None = None
    ) -> Mapping[str, list[str]]:
        """See AppendsToMany. All streams are appended to, or none."""
        self._ready()
        found = {name: events for name, events in batches.items() if events}
        if not found:
            return {name: [] for name in batches}
        append = partial(self._append_to_many, found, idempotency_key)
        return {name: [] for name in batches.keys() - found} | append_once_more(append, idempotency_key)

    def _append_to_many(
        self, batches: Mapping[str, Sequence[Event]], key: str | None
    ) -> dict[str, list[str]]:
        many = ManyBatch.of(batches, partial(self._batch, "", key=None), key)
        dialect = self._database.dialect
        same = many.each is None
        known: dict[str, list[str]] = {}
        while True:
            left = many.without(known)
            try:
                begin = dialect.begin_many if same else dialect.begin_several
                with self._database.transaction("append", begin) as db:
                    append = dialect.append_to_many if same else dialect.append_to_each
                    stored = append(db, left) if left.keys else {}
                break
            except MissingTable as error:
                raise self._readiness.without_tables(error) from error
            except Conflict as error:
                with self._readiness.tables_there(), self._database.autocommit("find keys") as db:
                    found = self._logs.known(db, left.keys)
                if not found:
                    raise ConfigError(contradiction(next(iter(left.keys)), error)) from error
                known.update({name: Duplicate(ids) for name, ids in found.items()})
        ended = {name: hashed for name, hashed in left.keys.items() if name not in stored}
        if key is not None and ended:  # which may have been before
            with self._readiness.tables_there(), self._database.autocommit("find keys") as db:
                found = self._logs.known(db, ended)
            known.update({name: Duplicate(ids) for name, ids in found.items()})
        self._retention.start()
        for name, where in stored.items():
            self._tell_of(name, where, len(batches[name]))
        return {**known, **{name: ids_of(many.batch_of(name), where) for name, where in stored.items()}}

    def append_within(
        self, session: Any, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        batch = self._batch(stream_id, events, idempotency_key)
        borrowed = self._borrow(session)
        if not events:
            return []
        refusal: Exception = StreamEnded(stream_id)
        try:
            with self._within(borrowed, "append") as db:
                stored = self._database.dialect.append(db, batch, alone=False)
        except Conflict as error:
            refusal, stored = ConfigError(contradiction(stream_id, error)), None
        if stored is not None:
            self._retention.start()
            return ids_of(batch, stored)
        with self._database.within(borrowed, "find a key") as db, self._database.dialect.seeing_all(db):
            return self._remembered(db, batch, latest=True, otherwise=refusal)

    def end_within(self, session: Any, stream_id: str) -> None:
        """See EndsWithin."""
        epoch = self._ready()
        borrowed = self._borrow(session)
        with self._within(borrowed, "end a stream") as db, self._database.dialect.seeing_all(db):
            self._logs.end(db, stream_id, epoch, new_nonce())

    def _borrow(self, session: Any) -> Borrowed:
        with self._database.faults("begin"):
            return borrow(session, self._tables.streams, notifies=self._database.dialect.notifies)

    @contextmanager
    def _within(self, borrowed: Borrowed, doing: str) -> Generator[DBAPICursor]:
        """Lend a DB-API cursor of the session's transaction. Raises as `Database.within`."""
        try:
            with self._database.within(borrowed, doing) as db:
                self._readiness.check_same(db)
                yield db
        except MissingTable as error:
            self._readiness.forget()
            raise ConfigError(f"the session's database isn't that of the streams: {error}") from error

    @once_more
    def end(self, stream_id: str) -> None:
        epoch = self._ready()
        with self._readiness.tables_there(), self._database.autocommit("end a stream") as db:
            self._logs.end(db, stream_id, epoch, new_nonce())
        self._ring(stream_id)

    @once_more
    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        origin = self._origin()
        if not cursors:
            return {}
        share = ANY_BYTES if max_bytes is None else min(max_bytes // len(cursors), ANY_BYTES)
        with self._readiness.tables_there(), self._database.reading("read") as db:
            return self._logs.read(db, cursors, min(limit, ANY_ENTRIES), share, origin)

    @once_more
    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        origin = self._origin()
        if not stream_ids:
            return {}
        with self._readiness.tables_there(), self._database.autocommit("read") as db:
            newest = self._logs.newest(db, stream_ids)
        return {name: newest.get(name, origin) for name in stream_ids}

    @once_more
    def back(self, cursors: Mapping[str, str | None], entries: int) -> Mapping[str, str]:
        """See ReadsBack."""
        self._ready()
        with self._readiness.tables_there(), self._database.reading("read") as db:
            return self._earlier.back(db, cursors, min(entries, ANY_ENTRIES))

    @once_more
    def since(self, stream_ids: Collection[str], seconds: float) -> Mapping[str, str]:
        """See ReadsBack."""
        self._ready()
        with self._readiness.tables_there(), self._database.autocommit("read") as db:
            return self._earlier.since(db, stream_ids, now_ms() - round(seconds * 1_000))

    @once_more
    def time(self) -> float:
        """See TellsTime. A file's clock is that of its machine."""
        self._ready()
        with self._database.autocommit("ask for the time") as db:
            db.execute(self._database.dialect.asks_time)
            (microseconds,) = db.fetchone() or (0,)
        return float(microseconds) / 1_000_000

    @once_more
    def watch(self) -> Watch:
        self._ready()
        watch = SqlWatch(self._looks, self._database.bell(), self._options.poll_scheduler, self._unwatch)
        with self._lock:
            self._watches = (*self._watches, watch)
        if self._closed:
            watch.close()
        self._retention.start()
        return watch

    @once_more
    def streams(self) -> Iterable[StreamInfo]:
        self._ready()
        with self._readiness.tables_there(), self._database.autocommit("list the streams") as db:
            return list(self._logs.all(db))

    def create_tables(self) -> None:
        """Make the tables that aren't there yet, and have all streams keep what this process says.

        Any thread, in any number of processes at once. Raises BrokerUnavailable; ConfigError if the database
        refuses.
        """
        self._check_open()
        self._database.create(self._metadata)
        self._ready()
        self._retention.declare(anew=True)

    @once_more
    def forget(self, idle_for: float, *, ended: bool = False) -> int:
        """See Forgets."""
        self._ready()
        with self._readiness.tables_there():
            return self._retention.forget(idle_for, ended=ended)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if not self._guard.inherited:
            with self._lock:
                watches = self._watches
            for watch in watches:
                watch.close()
            self._retention.close()
            self._database.close()

    def _start(self) -> None:
        if parents := vars(self).get("_database"):
            self._inherited += [parents.disown(), self._watches]
        self._lock = threading.Lock()
        self._watches = ()
        self._database = Database(self._url, self._options, self._tables)
        self._logs = Logs(self._database.dialect)
        self._earlier = EarlierCursors(self._database.dialect)
        self._retention = Retention(self._database, self._options, now_ms)
        self._readiness = Readiness(
            self._database, self._logs, self._metadata, self._options, self._retention.declare
        )
        self._looks = Looks(self._database, self._logs, self._readiness.tables_there)

    def _check_open(self) -> None:
        self._guard.check()
        if self._closed:
            raise Closed("this SQL broker has been closed")

    def _ready(self) -> str:
        """The epoch of new streams, once all is well. Raises Closed, ConfigError, BrokerUnavailable."""
        self._check_open()
        return self._readiness.epoch()

    def _origin(self) -> str:
        """The cursor of a stream that isn't there. Raises likewise."""
        return make_id(self._ready(), 0, NO_ENTRY)

    def _batch(self, stream_id: str, events: Sequence[Event], key: str | None) -> Batch:
        kept_key = "" if key is None else hashed(stream_id, key)
        return Batch(
            stream_id,
            self._ready(),
            new_nonce(),
            now_ms(),
            kept_key,
            with_meta(events),
            *self._options.declared,
        )

    def _remembered(
        self, db: DBAPICursor, batch: Batch, *, latest: bool = False, otherwise: Exception
    ) -> Duplicate:
        """The ids of what was stored under the batch's key; raises `otherwise` if nothing was."""
        known = None
        if batch.key:
            known = self._logs.remembered(db, batch.stream_id, batch.key, latest=latest)
        if known is None:
            raise otherwise
        return Duplicate(known)

    def _tell_of(self, stream_id: str, stored: Stored, count: int) -> None:
        """So many events have been appended."""
        self._ring(stream_id)
        self._retention.after_append(stream_id, stored, count)

    def _ring(self, stream_id: str) -> None:
        for watch in self._watches:
            watch.look_at(stream_id)

    def _unwatch(self, watch: BaseWatch) -> None:
        with self._lock:
            self._watches = tuple(other for other in self._watches if other is not watch)
