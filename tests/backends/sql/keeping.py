"""Logs whose entries are of any age, and what keeps them small at the test's own time."""

from __future__ import annotations

from typing import Any, Final

from streamy_backends.sql.broker import SqlBroker
from streamy_backends.sql.options import Options
from streamy_backends.sql.retention import Retention
from streamy_core.broker import Broker
from streamy_core.testing.reading import data_of, events, read_all

NEVER_BY_ITSELF: Final = {"tidy_every": 3_600.0}

_RECENT: Final = 1_750_000_000_000
"""Later than any time of `Time`'s, and earlier than any of the computer's."""


class Time:
    """A clock that stands still until it is told. Milliseconds since 1970."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += round(seconds * 1_000)


class Tables:
    """A broker's tables."""

    def __init__(self, broker: Broker, prefix: str) -> None:
        assert isinstance(broker, SqlBroker)
        self.broker = broker
        self.prefix = prefix

    def do(self, sql: str, *values: Any) -> list[Any]:
        """Have it done. `{streams}` is a table, and ? a value. Returns the rows."""
        dialect = self.broker._database.dialect
        with self.broker._database.autocommit("test") as db:
            db.execute(dialect.render(sql), values)
            return list(db.fetchall()) if db.description else []

    def append(self, stream_id: str, *texts: str, at: int) -> list[str]:
        """Append as if it were this time."""
        ids = self.broker.append(stream_id, events(*texts))
        self.date("entries", at)
        return ids

    def date(self, table: str, at: int) -> None:
        """Have the rows that were stored just now be of this time."""
        self.do(f"UPDATE {{{table}}} SET stored_at = ? WHERE stored_at > ?", at, _RECENT)

    def count(self, table: str) -> int:
        ((count,),) = self.do(f"SELECT COUNT(*) FROM {{{table}}}")
        return int(count)

    def streams(self) -> list[Any]:
        """The rows that count, byte by byte."""
        return self.do("SELECT * FROM {streams} ORDER BY stream_id")


def keeper(tables: Tables, time: Time, **options: Any) -> Retention:
    """What one process tidies up by. Of no thread of its own."""
    return Retention(tables.broker._database, Options(table_prefix=tables.prefix, **options), time)


def kept(broker: Broker, name: str = "news") -> list[str]:
    return data_of(read_all(broker, name))
