"""MariaDB and MySQL, by PyMySQL."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sqlalchemy import Engine
from sqlalchemy.engine.interfaces import DBAPICursor

from streamy_core.errors import ConfigError

from .dialect import Batch, Dialect, Stored
from .options import Options
from .tables import Tables

_NO_SUCH_TABLE = 1146
_REFUSALS = (1044, 1045, 1049, 1142, 1698)
"""Denied: a database, a login, a table, a login by plug-in; and 1049, there is no such database."""
_IN_TRANSACTION = 1


class Mysql(Dialect):
    """See https://mariadb.com/kb/en/, sections "INSERT ON DUPLICATE KEY UPDATE" and "JSON_TABLE"."""

    begin = "START TRANSACTION"
    wanted: ClassVar[str] = (
        "(SELECT CAST(name AS BINARY) AS stream_id, place FROM JSON_TABLE(:wanted, '$[*]' COLUMNS ("
        "name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PATH '$[0]', place BIGINT PATH '$[1]'"
        ")) AS listed) AS wanted"
    )
    upsert: ClassVar[str] = """
        INSERT INTO {streams} (stream_id, epoch, head) VALUES (:stream_id, :epoch, :count)
        ON DUPLICATE KEY UPDATE head = head + IF(end_nonce IS NULL, :count, 0)"""
    upserted: ClassVar[str] = """
        SELECT epoch, head - :count, end_nonce FROM {streams} WHERE stream_id = :stream_id"""
    finish: str = """
        INSERT INTO {streams} (stream_id, epoch, head, end_nonce) VALUES (:stream_id, :epoch, 0, :nonce)
        ON DUPLICATE KEY UPDATE end_nonce = COALESCE(end_nonce, :nonce)"""
    first_meta: ClassVar[str] = """
        INSERT INTO {meta} (id, version, epoch, tidied_at) VALUES (1, :version, :epoch, 0)
        ON DUPLICATE KEY UPDATE version = version"""

    def __init__(self, engine: Engine, tables: Tables, options: Options) -> None:
        super().__init__(engine, tables, options)
        self._upserted = self.render(self.upserted)

    def stream_id(self, name: str) -> bytes:
        return name.encode()

    def name_of(self, value: bytes) -> str:
        return value.decode()

    def wanting(self, places: Mapping[str, int]) -> dict[str, Any]:
        return {"wanted": json.dumps(list(places.items()))}

    def advance(self, cursor: DBAPICursor, batch: Batch) -> Stored | None:
        parameters = {
            "stream_id": batch.stream_id.encode(), "epoch": batch.epoch, "count": len(batch.events)
        }  # fmt: skip
        cursor.execute(self._upsert, parameters)
        cursor.execute(self._upserted, parameters)
        epoch, before, end_nonce = cursor.fetchone() or ("", 0, "gone")
        return Stored(epoch, before) if end_nonce is None else None

    @classmethod
    def connect_arguments(cls, options: Options) -> dict[str, Any]:
        seconds = max(1, math.ceil(options.timeout))
        return {
            "charset": "utf8mb4",
            "connect_timeout": seconds,
            "read_timeout": 2 * seconds,  # longer than the wait for a lock
            "write_timeout": 2 * seconds,
        }

    @classmethod
    def settings(cls, options: Options) -> Sequence[str]:
        return (
            # Under REPEATABLE READ, deleting locks the gaps in which others want to insert.
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            f"SET SESSION innodb_lock_wait_timeout = {max(1, math.ceil(options.timeout))}",
        )

    def check(self, cursor: DBAPICursor) -> None:
        cursor.execute("SELECT VERSION()")
        (version,) = cursor.fetchone() or ("",)
        numbers = tuple(int(part) for part in version.partition("-")[0].split(".")[:2])
        if numbers < ((10, 6) if "MariaDB" in version else (8, 0)):
            raise ConfigError(f"this is {version}, and MariaDB 10.6 or MySQL 8.0, or a newer one, is needed")

    def in_transaction(self, connection: Any) -> bool:
        status = getattr(connection, "server_status", _IN_TRANSACTION)
        return bool(status & _IN_TRANSACTION)

    def is_missing_table(self, error: Exception) -> bool:
        return error.args[:1] == (_NO_SUCH_TABLE,)

    def is_refusal(self, error: Exception) -> bool:
        return bool(error.args) and error.args[0] in _REFUSALS
