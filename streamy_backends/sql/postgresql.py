"""PostgreSQL, by psycopg 3."""

from __future__ import annotations

import hashlib
import math
import select
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, Final

from sqlalchemy import URL, Engine
from sqlalchemy.engine.interfaces import DBAPICursor

from streamy_core.broker import ConfigError

from .batches import Batch, ManyBatch, Stored
from .bells import Bell, Connect, Listen, Timer
from .faults import POSTGRESQL, MissingTable, Rule
from .options import Options
from .pages import NO_ENTRY, Range
from .server import DATA, ServerDialect
from .sessions import Place
from .tables import Tables

_LONGEST_CHANNEL: Final = 63
_IN_UTF8: Final = "`CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0` makes one that can"


class Postgresql(ServerDialect):
    """See https://www.postgresql.org/docs/current/, sections "INSERT", "Data-Modifying Statements in
    WITH" and "NOTIFY"."""

    kinds: ClassVar[tuple[str, ...]] = ("postgresql",)
    rules: ClassVar[Sequence[Rule]] = POSTGRESQL
    read_only: ClassVar[str | None] = "SHOW transaction_read_only"
    begin: ClassVar[str | None] = None
    begin_many: ClassVar[str | None] = None
    # A server is told by the moment at which it was started, and a table by its number there.
    whereabouts = """
        SELECT CAST(EXTRACT(EPOCH FROM pg_postmaster_start_time()) AS text), CAST(current_database() AS text),
            (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.oid = to_regclass('{streams}')),
            CAST(CAST(ARRAY[to_regclass('{streams}'), to_regclass('{entries}'), to_regclass('{keys}')]
            AS oid[]) AS text), current_setting('client_encoding')"""
    among = "= ANY(CAST(:names AS text[]))"
    now = latest_change = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS bigint)"

    # The limits keep the planner to one short look at the index for each stream, however long the log.
    one: ClassVar[str] = """
        SELECT s.stream_id, s.epoch, s.head, s.end_nonce, e.sequence, e.nonce, e.name, e.retry, {data},
            octet_length(e.data)
        FROM {streams} s LEFT JOIN (
            SELECT o.sequence, o.nonce, o.name, o.retry, o.data FROM {entries} o
            WHERE o.stream_id = :stream_id AND o.sequence BETWEEN :after AND :after + :limit
            ORDER BY o.sequence LIMIT :limit + 1
        ) e ON true WHERE s.stream_id = :stream_id"""
    several: ClassVar[str] = """
        SELECT s.stream_id, s.epoch, s.head, s.end_nonce, e.sequence, e.nonce, e.name, e.retry, {data},
            octet_length(e.data)
        FROM unnest(CAST(:names AS text[]), CAST(:afters AS bigint[]){limits})
            AS wanted (stream_id, after{count})
        JOIN {streams} s ON s.stream_id = wanted.stream_id
        LEFT JOIN LATERAL (
            SELECT o.sequence, o.nonce, o.name, o.retry, o.data FROM {entries} o
            WHERE o.stream_id = wanted.stream_id
                AND o.sequence BETWEEN wanted.after AND wanted.after + {limit}
            ORDER BY o.sequence LIMIT {limit} + 1
        ) e ON true"""

    append_all: ClassVar[str] = """
        WITH counter AS ({upsert}
        ), remembered AS (
            INSERT INTO {keys} (idempotency_key, sequence_before, count, nonce, stored_at)
            SELECT CAST(:key AS varchar), sequence_before, CAST(:count AS bigint), :nonce, :stored_at
            FROM counter WHERE CAST(:key AS varchar) <> ''
        ), stored AS (
            INSERT INTO {entries} (stream_id, sequence, nonce, stored_at, name, retry, data)
            SELECT :stream_id, sequence_before + number, :nonce, :stored_at, name, retry, data
            FROM counter, unnest(CAST(:names AS text[]), CAST(:retries AS integer[]), CAST(:texts AS text[]))
            WITH ORDINALITY AS batch (name, retry, data, number)
            UNION ALL
            SELECT :stream_id, 0, :origin, :stored_at, NULL, NULL, '' FROM counter WHERE sequence_before = 0
        )
        SELECT epoch, sequence_before, history{rung} FROM counter"""
    """All of an append."""

    append_to_all: ClassVar[str] = """
        WITH wanted AS (
            SELECT stream_id, idempotency_key
            FROM unnest(CAST(:streams AS text[]), CAST(:keys AS text[])) AS w (stream_id, idempotency_key)
        ), counter AS ({upsert}
        ), remembered AS (
            INSERT INTO {keys} (idempotency_key, sequence_before, count, nonce, stored_at)
            SELECT idempotency_key, sequence_before, CAST(:count AS bigint), :nonce, :stored_at
            FROM counter JOIN wanted USING (stream_id) WHERE idempotency_key <> ''
        ), stored AS (
            INSERT INTO {entries} (stream_id, sequence, nonce, stored_at, name, retry, data)
            SELECT stream_id, sequence_before + number, :nonce, :stored_at, name, retry, data
            FROM counter, unnest(CAST(:names AS text[]), CAST(:retries AS integer[]), CAST(:texts AS text[]))
            WITH ORDINALITY AS batch (name, retry, data, number)
            UNION ALL
            SELECT stream_id, 0, :origin, :stored_at, NULL, NULL, '' FROM counter WHERE sequence_before = 0
        )
        SELECT stream_id, epoch, sequence_before, history{rung} FROM counter"""
    """All of an append to many streams."""

    def __init__(self, engine: Engine, tables: Tables, options: Options) -> None:
        super().__init__(engine, tables, options)
        channel = f"{tables.streams.schema or 'public'}.{tables.streams.name}"
        if len(channel) > _LONGEST_CHANNEL:
            channel = hashlib.sha256(channel.encode()).hexdigest()[:_LONGEST_CHANNEL]
        self._channel = (
            channel if options.notify and engine.dialect.driver in ("psycopg", "psycopg2") else None
        )
        self.notifies: bool = options.notify
        rung = f", pg_notify('{channel}', :stream_id)" if options.notify else ""
        self._append_all = self.render(
            self.append_all.replace("{upsert}", self.upsert).replace("{rung}", rung)
        )
        upsert_all = self.upsert.replace(
            "VALUES (:stream_id, :epoch, :count, {now}, :history, :history_age)",
            "SELECT stream_id, :epoch, :count, {now}, :history, :history_age FROM wanted",
        ).replace("RETURNING epoch", "RETURNING stream_id, epoch")
        self._append_to_all = self.render(
            self.append_to_all.replace("{upsert}", upsert_all).replace(
                "{rung}", rung.replace(":stream_id", "stream_id")
            )
        )
        several = self.several.replace("{data}", DATA.replace("{after}", "wanted.after"))
        with_limits = several.replace("{limits}", ", CAST(:limits AS bigint[])").replace("{count}", ", count")
        self._several = self.render(
            several.replace("{limits}", "").replace("{count}", "").replace("{limit}", ":limit")
        )
        self._several_limits = self.render(with_limits.replace("{limit}", "wanted.count"))
        self.finish: str = f"WITH ended AS ({self.finish} RETURNING 1) SELECT 1{rung} FROM ended"

    def among_these(self, names: Collection[str]) -> dict[str, Any]:
        return {"names": list(names)}

    def many(self, ranges: Mapping[str, Range], max_bytes: int) -> tuple[str, dict[str, Any]]:
        afters, limits = zip(*ranges.values(), strict=True)
        parameters = {"names": list(ranges), "afters": list(afters), "max_bytes": max_bytes}
        if len(set(limits)) == 1:
            return self._several, {**parameters, "limit": limits[0]}
        return self._several_limits, {**parameters, "limits": list(limits)}

    def append(self, db: DBAPICursor, batch: Batch, *, alone: bool) -> Stored | None:
        parameters = {"stream_id": batch.stream_id, "key": batch.key, **_parameters(batch)}
        db.execute(self._append_all, parameters)
        found = db.fetchone()
        return None if found is None else Stored(*found[:3])

    def append_to_many(self, db: DBAPICursor, many: ManyBatch) -> dict[str, Stored]:
        streams, keys = list(many.keys), list(many.keys.values())
        db.execute(self._append_to_all, {"streams": streams, "keys": keys, **_parameters(many.batch)})
        return {name: Stored(*stored[:3]) for name, *stored in db.fetchall()}

    def bell(self, connect: Connect, is_replaced: Callable[[], bool]) -> Bell:
        return Listen(connect, self._channel) if self._channel else Timer()

    @classmethod
    def connect_arguments(cls, url: URL, options: Options) -> dict[str, Any]:
        seconds = max(1, math.ceil(options.timeout))
        arguments: dict[str, Any] = {
            "connect_timeout": seconds,
            "tcp_user_timeout": seconds * 1_000,
            "keepalives_idle": seconds,
            "keepalives_interval": seconds,
            "keepalives_count": 2,
        }
        # Behind a pooler of transactions, neither settings of a session nor its statements last.
        psycopg = url.get_driver_name() == "psycopg"
        if options.notify:
            lock_timeout = f"-c lock_timeout={max(1, round(options.timeout * 1_000))}"
            arguments["options"] = f"{url.query.get('options', '')} {lock_timeout}".strip()
        elif psycopg:  # psycopg2 prepares nothing
            arguments["prepare_threshold"] = None
        return {
            name: value for name, value in arguments.items() if name == "options" or name not in url.query
        }

    @classmethod
    def connect(cls, driver: str, options: Options, args: Sequence[Any], arguments: Mapping[str, Any]) -> Any:
        if driver != "psycopg" or not hasattr(select, "poll"):  # then it waits as it does by itself
            return None
        from .timeout import TimeoutConnection  # which needs the driver

        connection = TimeoutConnection.connect(*args, **arguments)
        # The server, where it bounds the wait for a lock, is to be heard first.
        connection.answer_timeout = options.timeout * (2 if options.notify else 1)
        return connection

    @classmethod
    def settings(cls, options: Options) -> Sequence[str]:
        return ()  # a pooler might hand them to others

    def check(self, db: DBAPICursor) -> None:
        db.execute("SHOW server_version_num")
        (version,) = db.fetchone() or ("0",)
        if int(version) < 120_000:
            raise ConfigError(f"this is PostgreSQL {int(version) // 10_000}, and 12 or newer is needed")
        db.execute("SHOW server_encoding")
        (encoding,) = db.fetchone() or ("",)
        encoding = encoding.decode() if isinstance(encoding, bytes) else encoding  # as SQL_ASCII gives it
        if encoding != "UTF8":
            raise ConfigError(
                f"the database's encoding is {encoding}, which can't hold every text: {_IN_UTF8}"
            )

    def in_transaction(self, connection: Any, db: DBAPICursor) -> bool:
        return bool(connection.info.transaction_status)

    def place(self, connection: Any, db: DBAPICursor, row: Sequence[Any]) -> Place:
        started, database, schema, tables, encoding = row
        if encoding != "UTF8":
            raise ConfigError(
                f"the connection's encoding is {encoding}, which can't hold every text: leave "
                "client_encoding out of its URL, or make it utf8"
            )
        if schema is None:
            raise MissingTable("it has no such tables")
        return Place((started, database, tables), (database, schema))


def _parameters(batch: Batch) -> dict[str, Any]:
    """Those of an append, but for the stream and its key."""
    return {
        **batch.counted,
        "nonce": batch.nonce,
        "origin": NO_ENTRY,
        "stored_at": batch.stored_at,
        "names": [event.name for event in batch.events],
        "retries": [event.retry for event in batch.events],
        "texts": [event.data for event in batch.events],
    }
