"""What a kind of database says in its own way. Everything else is the same for all of them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

from sqlalchemy import URL, Engine
from sqlalchemy.engine.interfaces import DBAPICursor

from streamy_core.broker import ConfigError

from .batches import Batch, ManyBatch, Stored
from .bells import Bell, Connect, Timer
from .faults import Rule
from .options import Options
from .pages import NO_ENTRY, Range, Row, State
from .sessions import Place, elsewhere
from .tables import Tables


class Dialect(ABC):
    """One kind of database, and its SQL for these tables. Frozen; any thread.

    SQL is written with `{streams}` for a table, and `:count` for a parameter, or `?`. It is done by a
    DB-API cursor, which is called `db`: a cursor is a reader's.
    """

    kinds: ClassVar[tuple[str, ...]]
    """SQLAlchemy's names of it."""

    rules: ClassVar[Sequence[Rule]]
    """What the driver's errors mean."""

    read_only: ClassVar[str | None] = None
    """Asks the server whether it takes no writes: it answers 1 or "on"; None where there is no server."""

    begin: ClassVar[str | None] = "BEGIN"
    """What begins a transaction that appends; None where that is one statement, a transaction by itself."""

    begin_reading: ClassVar[str | None] = None
    """What begins a transaction in which `read` does several statements; None where it does one."""

    lone_writer: ClassVar[bool] = False
    """Whether one transaction at a time writes, so that a process's threads had better queue than try."""

    among: ClassVar[str]
    """What says, after a column, that it is one of the streams in `:names`."""

    survives_fork: ClassVar[bool] = True
    """Whether a connection may be open while the process forks."""

    notifies: bool = False
    """Whether a transaction that publishes notifies others."""

    latest: ClassVar[str] = "FOR UPDATE"
    """What makes a reading see what others have committed since the transaction began."""

    whereabouts: ClassVar[str] = "SELECT 1"
    """Tells where a connection leads, for `place`; this locks nothing."""

    @property
    def asks_time(self) -> str:
        """Tells the microseconds since 1970, by the server's clock."""
        return self.render("SELECT {now}")

    @property
    def opening(self) -> str:
        """What makes the driver begin a transaction, and locks nothing that others wait for."""
        return self.whereabouts

    now: ClassVar[str]
    """Microseconds since 1970, by the server's clock: when a stream changes."""

    latest_change: ClassVar[str]
    """When the latest change was, or may have been that has been committed."""

    late_by: ClassVar[int] = 250_000
    """By how many microseconds a change may come to light late, as a rule."""

    greatest: ClassVar[str] = "GREATEST"
    """The function that gives the greater of two numbers."""

    begin_several: ClassVar[str] = "START TRANSACTION"
    """What begins a transaction that writes by several statements."""

    begin_many: ClassVar[str | None] = "START TRANSACTION"
    """What begins a transaction that appends to many streams; None as for `begin`."""

    upsert: ClassVar[str] = """
        INSERT INTO {streams} AS s (stream_id, epoch, head, changed, history, history_age)
        VALUES (:stream_id, :epoch, :count, {now}, :history, :history_age)
        ON CONFLICT (stream_id) DO UPDATE SET head = s.head + excluded.head, changed = excluded.changed,
            history = {greatest}(s.history, excluded.history),
            history_age = {greatest}(s.history_age, excluded.history_age)
        WHERE s.end_nonce IS NULL
        RETURNING epoch, head - :count AS sequence_before, history"""
    """Counts on, unless the stream has ended."""

    finish: str = """
        INSERT INTO {streams} AS s (stream_id, epoch, head, end_nonce, changed, history, history_age)
        VALUES (:stream_id, :epoch, 0, :nonce, {now}, 0, 0)
        ON CONFLICT (stream_id) DO UPDATE SET end_nonce = excluded.end_nonce, changed = excluded.changed
        WHERE s.end_nonce IS NULL"""

    first_meta: ClassVar[str] = """
        INSERT INTO {meta} (id, version, epoch, tidied_at, history, history_age)
        VALUES (1, :version, :epoch, 0, 0, 0) ON CONFLICT (id) DO NOTHING"""

    remember: ClassVar[str] = """
        INSERT INTO {keys} (idempotency_key, sequence_before, count, nonce, stored_at)
        VALUES (?, ?, ?, ?, ?)"""

    store: ClassVar[str] = """
        INSERT INTO {entries} (stream_id, sequence, nonce, stored_at, name, retry, data)
        VALUES (?, ?, ?, ?, ?, ?, ?)"""

    def __init__(self, engine: Engine, tables: Tables, options: Options) -> None:
        self._tables = tables
        quote = engine.dialect.identifier_preparer.format_table
        names = {name: quote(table) for name, table in tables._asdict().items()}
        self._words = {  # that stand in braces
            **names,
            "among": self.among,
            "greatest": self.greatest,
            "now": self.now.format(**names),
            "latest_change": self.latest_change.format(**names),
        }
        self._upsert = self.render(self.upsert)
        self._remember = self.render(self.remember)
        self._store = self.render(self.store)

    def render(self, sql: str) -> str:
        """The SQL as the driver takes it."""
        return re.sub(r":(\w+)", r"%(\1)s", sql.format(**self._words)).replace("?", "%s")

    def stream_id(self, name: str) -> Any:
        """A stream's name, as a parameter."""
        return name

    def name_of(self, value: Any) -> str:
        """The stream's name that was read."""
        return str(value)

    def rows(self, db: DBAPICursor, sql: str, parameters: Any = ()) -> list[Any]:
        """All rows of a question, whatever is in them."""
        db.execute(sql, parameters)
        return list(db.fetchall())

    @abstractmethod
    def among_these(self, names: Collection[str]) -> dict[str, Any]:
        """The parameter `:names`."""

    def among_texts(self, texts: Collection[str]) -> dict[str, Any]:
        """The parameter `:names`, where a column of text is to be among these."""
        return self.among_these(texts)

    @abstractmethod
    def read(
        self, db: DBAPICursor, ranges: Mapping[str, Range], max_bytes: int
    ) -> Iterable[tuple[str, State, Iterable[Row]]]:
        """Read these ranges of these streams.

        max_bytes: how many bytes of data are wanted of each, but for a first entry that has more by itself.

        Gives the name, the state and the rows of each stream that is there, all of one moment. The rows
        come in order: the one at the sequence number, without data, and those after it. There may be more
        than are wanted, but hardly any more data. The rows of a stream are to be taken before the next
        stream is asked for.
        """

    def append(self, db: DBAPICursor, batch: Batch, *, alone: bool) -> Stored | None:
        """Store the batch; None if the stream has ended.

        alone: whether there is nothing else in the transaction; it has begun unless `begin` is None.

        Raises the driver's IntegrityError if the key was used before.
        """
        stored = self.advance(db, batch)
        if stored is None:
            return None
        before, nonce, stored_at = stored.before, batch.nonce, batch.stored_at
        if batch.key:
            db.execute(self._remember, (batch.key, before, len(batch.events), nonce, stored_at))
        stream_id = self.stream_id(batch.stream_id)
        origin = [(stream_id, 0, NO_ENTRY, stored_at, None, None, "")] if before == 0 else []
        rows = origin + [
            (stream_id, sequence, nonce, stored_at, event.name, event.retry, event.data)
            for sequence, event in enumerate(batch.events, before + 1)
        ]
        if len(rows) == 1:
            db.execute(self._store, rows[0])
        else:
            db.executemany(self._store, rows)
        return stored

    def advance(self, db: DBAPICursor, batch: Batch) -> Stored | None:
        """Count on by as many as the batch has; None if the stream has ended."""
        db.execute(self._upsert, {"stream_id": self.stream_id(batch.stream_id), **batch.counted})
        found = db.fetchone()
        return None if found is None else Stored(*found)

    def seeing_all(self, db: DBAPICursor) -> AbstractContextManager[None]:
        """In an app's transaction: within this, what others have committed since it began can be changed."""
        return nullcontext()

    @abstractmethod
    def append_to_many(self, db: DBAPICursor, many: ManyBatch) -> dict[str, Stored]:
        """Store the batch in each of its streams but for those that have ended; where it lies in each.

        The transaction has begun unless `begin_many` is None. Raises as `append`.
        """

    def append_to_each(self, db: DBAPICursor, many: ManyBatch) -> dict[str, Stored]:
        """Store in each of the streams its own events, but for those that have ended; where they lie in each.

        The transaction has begun, by `begin_several`. Raises as `append`.
        """
        found = {name: self.append(db, many.batch_of(name), alone=False) for name in many.keys}
        return {name: stored for name, stored in found.items() if stored is not None}

    def store_in_many(self, db: DBAPICursor, many: ManyBatch, stored: Mapping[str, Stored]) -> None:
        """Store keys and entries where streams have been counted on. Raises likewise."""
        batch = many.batch
        nonce, stored_at = batch.nonce, batch.stored_at
        keys: list[Any] = []
        rows: list[Any] = []
        for name, at in stored.items():
            stream_id = self.stream_id(name)
            if key := many.keys[name]:
                keys.append((key, at.before, len(batch.events), nonce, stored_at))
            if at.before == 0:
                rows.append((stream_id, 0, NO_ENTRY, stored_at, None, None, ""))
            for sequence, event in enumerate(batch.events, at.before + 1):
                rows.append((stream_id, sequence, nonce, stored_at, event.name, event.retry, event.data))
        if keys:
            db.executemany(self._remember, keys)
        if rows:
            db.executemany(self._store, rows)

    def undone_append(self, db: DBAPICursor, batch: Batch) -> None:
        """Do all that publishing and trimming do, in a transaction that is rolled back."""
        db.execute("BEGIN")
        try:
            self.append(db, batch, alone=False)
            for table in ("{entries}", "{keys}"):
                db.execute(self.render(f"DELETE FROM {table} WHERE nonce = ?"), (batch.nonce,))
        finally:
            db.execute("ROLLBACK")

    def bell(self, connect: Connect, is_replaced: Callable[[], bool]) -> Bell:
        """What tells that some stream may have grown; `connect` gives a connection for it alone.

        is_replaced: whether that leads to what is another database by now.
        """
        return Timer()

    @classmethod
    @abstractmethod
    def connect_arguments(cls, url: URL, options: Options) -> dict[str, Any]:
        """The driver's arguments for an engine of our own; they win over what the URL says."""

    @classmethod
    def connect(cls, driver: str, options: Options, args: Sequence[Any], arguments: Mapping[str, Any]) -> Any:
        """A connection of the driver's, or None: as SQLAlchemy makes it."""
        return None

    @classmethod
    @abstractmethod
    def settings(cls, options: Options) -> Sequence[str]:
        """The SQL that sets up a new connection of an engine of our own."""

    @abstractmethod
    def check(self, db: DBAPICursor) -> None:
        """See whether the database has what is needed, and set it up. Raises ConfigError."""

    @abstractmethod
    def in_transaction(self, connection: Any, db: DBAPICursor) -> bool:
        """Whether the driver's connection, whose cursor is `db`, is in a transaction that has begun."""

    @abstractmethod
    def place(self, connection: Any, db: DBAPICursor, row: Sequence[Any]) -> Place:
        """Where a connection leads to which `whereabouts` has just given this row.

        connection: the driver's, whose cursor is `db`.

        Raises ConfigError if it isn't one of Unicode, and MissingTable.
        """

    def is_replaced(self, place: Place) -> bool:
        """Whether what was there is another database by now, which open connections don't lead to."""
        return False

    def elsewhere(self, theirs: Place, ours: Place) -> ConfigError:
        """What is raised for a session that would write where nobody looks."""
        *_, schema = ours.names or ("",)
        known = self._tables.streams.schema is not None or len(ours.names) < 2
        cure = (
            ""
            if known or theirs.key[:1] != ours.key[:1]
            else (f"set the option schema={schema} in all processes, and every session finds them")
        )
        return elsewhere(theirs, ours, cure)
