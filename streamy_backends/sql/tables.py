"""The tables: made by the broker itself, or by the app's own migrations.

streams: a row for each stream, which counts its entries, and says what is kept of them. It stays when
         they go.
entries: the log. A stream's oldest row is served no more: it is the cursor before the oldest entry. Where
         `retry` is -1, the first line of `data` is the event's own, and its meta.
keys:    idempotency keys of late.
meta:    one row: the epoch of new streams, the version of these tables, when somebody last tidied up, and
         what is kept where a stream doesn't say.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects import mysql

from streamy_core.options import check_option

from .options import LABEL, PREFIX, Options

VERSION: Final = 2
"""Of the tables' shape, in the row of `meta`."""

_LONGEST_NAME: Final = 255 * 4  # bytes of UTF-8
_MYSQL: Final = ("mysql", "mariadb")


class Tables(NamedTuple):
    """The four tables."""

    streams: Table
    entries: Table
    keys: Table
    meta: Table


def add_tables(metadata: MetaData, *, prefix: str = PREFIX, schema: str | None = None) -> Tables:
    """Add the tables to a MetaData: an app's own, say, so that Alembic makes them with the others.

    prefix, schema: as the broker's options `table_prefix` and `schema` say. Raises ConfigError if
    one isn't made of letters, digits and underscores.
    """
    for name, value in (("table_prefix", prefix), ("schema", schema)):
        check_option(Options, name, value, LABEL(name))

    def table(name: str, *columns: Any) -> Table:
        return Table(
            prefix + name,
            metadata,
            *columns,
            schema=schema,
            sqlite_with_rowid=False,
            mysql_engine="InnoDB",
            mariadb_engine="InnoDB",
            mysql_row_format="DYNAMIC",  # others take no key as long as ours
            mariadb_row_format="DYNAMIC",
            mysql_charset="utf8mb4",
            mariadb_charset="utf8mb4",
        )

    # Compared byte by byte on every database: in text, MySQL and MariaDB take trailing spaces for equal.
    stream_id = (
        Text()
        .with_variant(mysql.VARBINARY(_LONGEST_NAME), *_MYSQL)
        .with_variant(Text(collation="C"), "postgresql")
    )
    long = Text().with_variant(mysql.LONGTEXT(), *_MYSQL)
    return Tables(
        table(
            "streams",
            Column("stream_id", stream_id, primary_key=True),
            Column("epoch", String(16), nullable=False),
            Column("head", BigInteger, nullable=False),
            Column("end_nonce", String(16)),
            Column("changed", BigInteger, nullable=False, server_default="0"),  # microseconds since 1970
            Column("history", Integer, nullable=False, server_default="0"),  # 0: nobody has said
            Column("history_age", BigInteger, nullable=False, server_default="0"),  # ms; 0: likewise
            Index(f"{prefix}streams_changed", "changed"),
        ),
        table(
            "entries",
            Column("stream_id", stream_id, primary_key=True),
            Column("sequence", BigInteger, primary_key=True, autoincrement=False),
            Column("nonce", String(16), nullable=False),
            Column("stored_at", BigInteger, nullable=False),
            Column("name", String(255)),
            Column("retry", Integer),
            Column("data", long, nullable=False),
        ),
        table(
            "keys",
            Column("idempotency_key", String(32), primary_key=True),
            Column("sequence_before", BigInteger, nullable=False),
            Column("count", Integer, nullable=False),
            Column("nonce", String(16), nullable=False),
            Column("stored_at", BigInteger, nullable=False),
        ),
        table(
            "meta",
            Column("id", Integer, primary_key=True, autoincrement=False),
            Column("version", Integer, nullable=False),
            Column("epoch", String(16), nullable=False),
            Column("tidied_at", BigInteger, nullable=False),
            Column("history", Integer, nullable=False, server_default="0"),
            Column("history_age", BigInteger, nullable=False, server_default="0"),
        ),
    )
