"""SQLite: a file that the processes of one machine share."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar, Final

from sqlalchemy import URL, Engine
from sqlalchemy.engine.interfaces import DBAPICursor

from streamy_core.broker import ConfigError

from .batches import ManyBatch, Stored
from .bells import Bell, Connect, DataVersion
from .dialect import Dialect
from .faults import SQLITE, Rule
from .options import Options
from .pages import Range, Row, State
from .sessions import Place
from .tables import Tables

_KNOWN: Final = frozenset(
    ("timeout", "isolation_level", "detect_types", "check_same_thread", "cached_statements")
)
"""What SQLAlchemy hands on to the driver, as a number where it is one."""


def _decode(text: bytes) -> str:
    return text.decode(errors="surrogateescape")


def _identity(path: str) -> tuple[int, int]:
    found = os.stat(path)  # noqa: PTH116 - a Path costs more than the question
    return found.st_dev, found.st_ino


class Sqlite(Dialect):
    """See https://sqlite.org/wal.html, and https://sqlite.org/pragma.html for what is set."""

    kinds: ClassVar[tuple[str, ...]] = ("sqlite",)
    rules: ClassVar[Sequence[Rule]] = SQLITE
    # A transaction that reads first fails at once, whatever the timeout, if another has written by then.
    begin: ClassVar[str | None] = "BEGIN IMMEDIATE"
    begin_several: ClassVar[str] = "BEGIN IMMEDIATE"
    begin_many: ClassVar[str | None] = begin
    begin_reading: ClassVar[str | None] = "BEGIN"
    lone_writer = True
    survives_fork = False  # https://sqlite.org/howtocorrupt.html, section 2.6
    latest = ""  # only one transaction writes
    greatest = "MAX"
    # Transactions write one after another: none comes to light late, if each change has a greater number.
    now = """MAX(CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER),
        (SELECT COALESCE(MAX(changed), 0) + 1 FROM {streams}))"""
    latest_change = "(SELECT COALESCE(MAX(changed), 0) FROM {streams})"
    late_by = 0
    among = "IN (SELECT value FROM json_each(:names))"

    upsert_many: ClassVar[str] = Dialect.upsert.replace(
        "VALUES (:stream_id, :epoch, :count, {now}, :history, :history_age)",
        # "true", since ON could else belong to a join: https://sqlite.org/lang_upsert.html, section 2.2
        "SELECT value, :epoch, :count, {now}, :history, :history_age FROM json_each(:names) WHERE true",
    ).replace("RETURNING epoch", "RETURNING stream_id, epoch")

    # There are no round trips to save: by a statement for each stream, no more rows are taken than needed.
    one: ClassVar[str] = """
        SELECT s.epoch, s.head, s.end_nonce, e.sequence, e.nonce, e.name, e.retry,
               CASE WHEN e.sequence > :after THEN e.data END, NULL
        FROM {streams} s LEFT JOIN {entries} e
            ON e.stream_id = :stream_id AND e.sequence BETWEEN :after AND :after + :limit
        WHERE s.stream_id = :stream_id ORDER BY e.sequence"""

    def __init__(self, engine: Engine, tables: Tables, options: Options) -> None:
        super().__init__(engine, tables, options)
        self._schema = tables.streams.schema or "main"
        self._one = self.render(self.one)
        self._upsert_many = self.render(self.upsert_many)

    @property
    def opening(self) -> str:
        # Python's driver begins with the first statement that writes, and a savepoint outside of a
        # transaction would be one by itself, which ends with it.
        return "UPDATE {meta} SET id = id WHERE id = 1"

    def render(self, sql: str) -> str:
        return sql.format(**self._words)

    def among_these(self, names: Collection[str]) -> dict[str, Any]:
        return {"names": json.dumps(list(names))}

    def read(
        self, db: DBAPICursor, ranges: Mapping[str, Range], max_bytes: int
    ) -> Iterable[tuple[str, State, Iterable[Row]]]:
        for name, (after, limit) in ranges.items():
            parameters = {"stream_id": name, "after": after, "limit": limit}
            db.execute(self._one, parameters)
            rows = self._fetched(db, self._one, parameters)
            if first := next(rows, None):
                # (A number of SQLite's needn't be a whole one.)
                found = (Row(*row[3:]) for row in chain((first,), rows) if type(row[3]) is int)
                yield name, State(*first[:3]), found

    def append_to_many(self, db: DBAPICursor, many: ManyBatch) -> dict[str, Stored]:
        db.execute(self._upsert_many, {**self.among_these(many.keys), **many.batch.counted})
        stored = {name: Stored(*where) for name, *where in db.fetchall()}
        self.store_in_many(db, many, stored)
        return stored

    def rows(self, db: DBAPICursor, sql: str, parameters: Any = ()) -> list[Any]:
        db.execute(sql, parameters)
        return list(self._fetched(db, sql, parameters))

    def _fetched(self, db: DBAPICursor, sql: str, parameters: Any) -> Iterator[Any]:
        """The rows of a question that has been asked; in text that is no UTF-8, surrogates stand for it."""
        taken = 0
        try:
            for row in iter(db.fetchone, None):
                taken += 1
                yield row
        except sqlite3.OperationalError as error:
            if "UTF-8" not in str(error):
                raise
        else:
            return
        connection: Any = db.connection
        usual = connection.text_factory
        connection.text_factory = _decode
        try:
            db.execute(sql, parameters)
            rows = db.fetchall()
        finally:
            connection.text_factory = usual
        yield from rows[taken:]

    def bell(self, connect: Connect, is_replaced: Callable[[], bool]) -> Bell:
        return DataVersion(connect, self._schema, is_replaced)

    @classmethod
    def connect_arguments(cls, url: URL, options: Options) -> dict[str, Any]:
        # Unless it takes them for part of a URI, SQLAlchemy 2.0 drops them; the driver refuses them.
        unknown = {} if "uri" in url.query else {n: v for n, v in url.query.items() if n not in _KNOWN}
        return {"timeout": options.timeout, **unknown}

    @classmethod
    def settings(cls, options: Options) -> Sequence[str]:
        return (f"PRAGMA synchronous = {options.synchronous}",)

    def check(self, db: DBAPICursor) -> None:
        if sqlite3.sqlite_version_info < (3, 38):
            raise ConfigError(f"SQLite is {sqlite3.sqlite_version} here, and 3.38 or newer is needed")
        db.execute(f'PRAGMA "{self._schema}".journal_mode = WAL')
        (mode,) = db.fetchone() or ("",)
        if mode != "wal":
            raise ConfigError(
                f"the SQLite database has journal_mode {mode!r} and takes no WAL: it has to be a file on a "
                "local disk; for streams within one process there is memory://"
            )

    def in_transaction(self, connection: Any, db: DBAPICursor) -> bool:
        return bool(connection.in_transaction)

    def place(self, connection: Any, db: DBAPICursor, row: Sequence[Any]) -> Place:
        path = self.path(db)
        return Place(_identity(path), (path,))

    def is_replaced(self, place: Place) -> bool:
        (path,) = place.names
        try:
            return _identity(path) != place.key
        except OSError:
            return True

    def path(self, db: DBAPICursor) -> str:
        """The database's file."""
        db.execute("PRAGMA database_list")
        return next((path for _, schema, path in db.fetchall() if schema == self._schema), "")
