"""SQLite: a file that the processes of one machine share."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import URL, Engine
from sqlalchemy.engine.interfaces import DBAPICursor

from streamy_core.broker import ConfigError

from .bells import Bell, Connect, DataVersion
from .dialect import Dialect
from .faults import SQLITE, Rule
from .options import Options
from .pages import Range, Row, State
from .sessions import Place
from .tables import Tables


class Sqlite(Dialect):
    """See https://sqlite.org/wal.html, and https://sqlite.org/pragma.html for what is set."""

    kinds: ClassVar[tuple[str, ...]] = ("sqlite",)
    rules: ClassVar[Sequence[Rule]] = SQLITE
    # A transaction that reads first fails at once, whatever the timeout, if another has written by then.
    begin: ClassVar[str | None] = "BEGIN IMMEDIATE"
    begin_reading: ClassVar[str | None] = "BEGIN"
    lone_writer = True
    survives_fork = False  # https://sqlite.org/howtocorrupt.html, section 2.6
    latest = ""  # only one transaction writes
    among = "IN (SELECT value FROM json_each(:names))"

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

    @property
    def opening(self) -> str:
        # Python's driver begins with the first statement that writes, and a savepoint outside of a
        # transaction would be one by itself, which ends with it.
        return "UPDATE {meta} SET id = id WHERE id = 1"

    def render(self, sql: str) -> str:
        return sql.format(among=self.among, **self._names)

    def among_these(self, names: Collection[str]) -> dict[str, Any]:
        return {"names": json.dumps(list(names))}

    def read(
        self, db: DBAPICursor, ranges: Mapping[str, Range], max_bytes: int
    ) -> Iterable[tuple[str, State, Iterable[Row]]]:
        for name, (after, limit) in ranges.items():
            db.execute(self._one, {"stream_id": name, "after": after, "limit": limit})
            if first := db.fetchone():
                yield name, State(*first[:3]), _rows(first, db)

    def bell(self, connect: Connect) -> Bell:
        return DataVersion(connect, self._schema)

    @classmethod
    def connect_arguments(cls, url: URL, options: Options) -> dict[str, Any]:
        return {"timeout": options.timeout}

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
        found = Path(path).stat()
        return Place((found.st_dev, found.st_ino), (path,))

    def path(self, db: DBAPICursor) -> str:
        """The database's file."""
        db.execute("PRAGMA database_list")
        return next((path for _, schema, path in db.fetchall() if schema == self._schema), "")


def _rows(first: Sequence[Any], db: DBAPICursor) -> Iterator[Row]:
    """The entries of the rows that are found, each taken when it is asked for."""
    for row in chain((first,), iter(db.fetchone, None)):
        if row[3] is not None:
            yield Row(*row[3:])
