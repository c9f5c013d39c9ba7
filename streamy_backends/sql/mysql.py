"""MySQL and MariaDB, by PyMySQL."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from sqlalchemy import URL, Engine
from sqlalchemy.engine.interfaces import DBAPICursor

from streamy_core.broker import ConfigError

from .dialect import Batch, Stored
from .options import Options
from .pages import NO_ENTRY, Range
from .server import ServerDialect
from .tables import Tables

_NO_SUCH_TABLE = 1146
_REFUSALS = (1044, 1045, 1049, 1142, 1698)
"""Denied: a database, a login, a table, a login by plug-in; and 1049, there is no such database."""
_IN_TRANSACTION, _AUTOCOMMIT = 1, 2


class Mysql(ServerDialect):
    """MySQL, and what MariaDB has in common with it.

    See https://dev.mysql.com/doc/refman/8.0/en/, sections "INSERT ... ON DUPLICATE KEY UPDATE" and
    "Information Functions" (LAST_INSERT_ID).
    """

    kinds = ("mysql", "mariadb")
    begin: ClassVar[str | None] = "START TRANSACTION"
    among = "IN :names"

    # LAST_INSERT_ID tells the new head along with the answer; 0 stands for "not by this".
    upsert = """
        INSERT INTO {streams} (stream_id, epoch, head) VALUES (:stream_id, :epoch, LAST_INSERT_ID(:count))
        ON DUPLICATE KEY UPDATE head = IF(end_nonce IS NULL AND epoch = :epoch,
            LAST_INSERT_ID(head + :count), head + LAST_INSERT_ID(0))"""
    state: ClassVar[str] = "SELECT epoch, end_nonce FROM {streams} WHERE stream_id = :stream_id FOR UPDATE"
    finish = """
        INSERT INTO {streams} (stream_id, epoch, head, end_nonce) VALUES (:stream_id, :epoch, 0, :nonce)
        ON DUPLICATE KEY UPDATE end_nonce = COALESCE(end_nonce, :nonce)"""
    first_meta = """
        INSERT INTO {meta} (id, version, epoch, tidied_at) VALUES (1, :version, :epoch, 0)
        ON DUPLICATE KEY UPDATE version = version"""

    one: ClassVar[str] = """
        SELECT s.stream_id, s.epoch, s.head, s.end_nonce, e.sequence, e.nonce, e.name, e.retry, {data},
            CASE WHEN octet_length(e.data) * :limit > :max_bytes THEN octet_length(e.data) END
        FROM {streams} s LEFT JOIN {entries} e
            ON e.stream_id = :stream_id AND e.sequence BETWEEN :after AND :after + :limit
        WHERE s.stream_id = :stream_id"""

    # A condition for each stream: by a join it would read each log from its beginning.
    several: ClassVar[str] = """
        SELECT stream_id, epoch, head, end_nonce, NULL, NULL, NULL, NULL, NULL, NULL
        FROM {streams} WHERE stream_id IN :names
        UNION ALL SELECT stream_id, NULL, NULL, NULL, sequence, nonce, NULL, NULL, NULL, NULL
        FROM {entries} WHERE {{at}}
        UNION ALL SELECT stream_id, NULL, NULL, NULL, sequence, nonce, name, retry,
            CASE WHEN octet_length(data) * :limit <= :max_bytes OR sequence <=
                CASE stream_id {{afters}} END + GREATEST(1, :max_bytes DIV octet_length(data))
            THEN data END, CASE WHEN octet_length(data) * :limit > :max_bytes THEN octet_length(data) END
        FROM {entries} WHERE {{after}}"""

    def __init__(self, engine: Engine, tables: Tables, options: Options) -> None:
        super().__init__(engine, tables, options)
        self._state = self.render(self.state)
        self._several = self.render(self.several)

    def stream_id(self, name: str) -> bytes:
        return name.encode(errors="surrogateescape")

    def name_of(self, value: bytes) -> str:
        return value.decode(errors="surrogateescape")  # somebody else may have written it

    def among_these(self, names: Collection[str]) -> dict[str, Any]:
        return {"names": [name.encode() for name in names]}

    def many(self, ranges: Mapping[str, Range], max_bytes: int) -> tuple[str, dict[str, Any]]:
        parameters = {**self.among_these(ranges), "max_bytes": max_bytes}
        parameters["limit"] = max([limit for _, limit in ranges.values()])
        at, after, afters = [], [], []
        for number, (name, (sequence, limit)) in enumerate(ranges.items()):
            parameters[f"stream_{number}"] = name.encode()
            stream = f"%(stream_{number})s"
            at.append(f"(stream_id = {stream} AND sequence = {sequence})")
            after.append(f"(stream_id = {stream} AND sequence BETWEEN {sequence + 1} AND {sequence + limit})")
            afters.append(f"WHEN {stream} THEN {sequence}")
        sql = self._several.format(at=" OR ".join(at), after=" OR ".join(after), afters=" ".join(afters))
        return sql, parameters

    def advance(self, db: DBAPICursor, batch: Batch) -> Stored | None:
        count, stream_id = len(batch.events), batch.stream_id.encode()
        epoch, end_nonce = batch.epoch, None
        while end_nonce is None:
            db.execute(self._upsert, {"stream_id": stream_id, "epoch": epoch, "count": count})
            if head := db.lastrowid:
                return Stored(epoch, head - count)
            db.execute(self._state, {"stream_id": stream_id})
            epoch, end_nonce = db.fetchone() or (epoch, None)
        return None

    @classmethod
    def connect_arguments(cls, url: URL, options: Options) -> dict[str, Any]:
        seconds = max(1, math.ceil(options.timeout))
        timeouts = {
            "connect_timeout": seconds,
            "read_timeout": 2 * seconds,  # longer than the wait for a lock
            "write_timeout": 2 * seconds,
        }
        # Of text the driver makes Latin-1.
        login = {"password": url.password.encode()} if url.password else {}
        own = {name: value for name, value in timeouts.items() if name not in url.query}
        return {**login, **own, "charset": "utf8mb4"}

    @classmethod
    def settings(cls, options: Options) -> Sequence[str]:
        return (
            # Under REPEATABLE READ, deleting locks the gaps in which others want to insert.
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            f"SET SESSION innodb_lock_wait_timeout = {max(1, math.ceil(options.timeout))}",
        )

    def check(self, db: DBAPICursor) -> None:
        db.execute("SELECT VERSION()")
        (version,) = db.fetchone() or ("",)
        numbers = tuple(int(part) for part in version.partition("-")[0].split(".")[:2])
        if numbers < ((10, 6) if "MariaDB" in version else (8, 0)):
            raise ConfigError(f"this is {version}, and MariaDB 10.6 or MySQL 8.0, or a newer one, is needed")

    def in_transaction(self, connection: Any) -> bool:
        status = getattr(connection, "server_status", _IN_TRANSACTION)
        return bool(status & _IN_TRANSACTION) or not status & _AUTOCOMMIT

    def is_missing_table(self, error: Exception) -> bool:
        return error.args[:1] == (_NO_SUCH_TABLE,)

    def is_refusal(self, error: Exception) -> bool:
        return bool(error.args) and error.args[0] in _REFUSALS


class Mariadb(Mysql):
    """MariaDB appends by one compound statement: https://mariadb.com/kb/en/begin-end/."""

    begin = None

    append_all: ClassVar[str] = """
        BEGIN NOT ATOMIC
            DECLARE stream_epoch, stream_end VARCHAR(16);
            DECLARE sequence_before BIGINT;
            {alone}
            INSERT INTO {streams} (stream_id, epoch, head) VALUES (:stream_id, :epoch, :count)
            ON DUPLICATE KEY UPDATE head = head + IF(end_nonce IS NULL, :count, 0);
            SELECT epoch, head - :count, end_nonce INTO stream_epoch, sequence_before, stream_end
            FROM {streams} WHERE stream_id = :stream_id FOR UPDATE;
            IF stream_end IS NULL THEN
                IF :key <> '' THEN
                    INSERT INTO {keys} (idempotency_key, sequence_before, count, nonce, stored_at)
                    VALUES (:key, sequence_before, :count, :nonce, :stored_at);
                END IF;
                INSERT INTO {entries} (stream_id, sequence, nonce, stored_at, name, retry, data)
                VALUES %s;
                IF sequence_before = 0 THEN
                    INSERT INTO {entries} (stream_id, sequence, nonce, stored_at, data)
                    VALUES (:stream_id, 0, :origin, :stored_at, '');
                END IF;
            END IF;
            {done}
            SELECT stream_epoch, sequence_before FROM DUAL WHERE stream_end IS NULL;
        END"""
    row: ClassVar[str] = (
        "(:stream_id, sequence_before + %d, :nonce, :stored_at, :name_%d, :retry_%d, :data_%d)"
    )
    alone: ClassVar[str] = """
            DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
            START TRANSACTION;"""

    def append(self, db: DBAPICursor, batch: Batch, *, alone: bool) -> Stored | None:
        parameters: dict[str, Any] = {
            "stream_id": batch.stream_id.encode(),
            "epoch": batch.epoch,
            "count": len(batch.events),
            "key": batch.key,
            "nonce": batch.nonce,
            "origin": NO_ENTRY,
            "stored_at": batch.stored_at,
        }
        for number, event in enumerate(batch.events, 1):
            parameters[f"name_{number}"] = event.name
            parameters[f"retry_{number}"] = event.retry
            parameters[f"data_{number}"] = event.data
        rows = ", ".join([self.row % (n, n, n, n) for n in range(1, len(batch.events) + 1)])
        sql = self.append_all.replace("{alone}", self.alone if alone else "")
        sql = sql.replace("{done}", "COMMIT;" if alone else "")
        db.execute(self.render(sql % rows), parameters)
        found = db.fetchone()
        return None if found is None else Stored(*found)
