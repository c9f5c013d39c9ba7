"""MySQL and MariaDB, by PyMySQL."""

from __future__ import annotations

import math
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, Final

from sqlalchemy import URL, Engine
from sqlalchemy.engine.interfaces import DBAPICursor

from streamy_core.broker import ConfigError

from .batches import Batch, ManyBatch, Stored
from .faults import MYSQL, Rule
from .options import Options
from .pages import NO_ENTRY, Range
from .server import ServerDialect
from .sessions import Place, elsewhere
from .tables import Tables

_IN_TRANSACTION, _AUTOCOMMIT = 1, 2
_NO_SUCH_SAVEPOINT = 1305

# MariaDB has it ON by default from 11.6.2 on: what others have changed since the transaction's snapshot
# can't be changed, as the row that counts is all the time.
_SNAPSHOTS_OFF: Final = (
    "SET @streamy_snapshots = @@innodb_snapshot_isolation, innodb_snapshot_isolation = OFF"
)
_SNAPSHOTS_BACK: Final = "SET SESSION innodb_snapshot_isolation = @streamy_snapshots"


class Mysql(ServerDialect):
    """MySQL, and what MariaDB has in common with it.

    See https://dev.mysql.com/doc/refman/8.0/en/, sections "INSERT ... ON DUPLICATE KEY UPDATE" and
    "Information Functions" (LAST_INSERT_ID).
    """

    kinds: ClassVar[tuple[str, ...]] = ("mysql", "mariadb")
    rules: ClassVar[Sequence[Rule]] = MYSQL
    read_only: ClassVar[str | None] = "SELECT @@global.read_only"
    whereabouts = """
        SELECT CONCAT_WS(' ', @@hostname, @@port, @@datadir), DATABASE(), @@character_set_client,
            @@character_set_connection"""
    begin: ClassVar[str | None] = "START TRANSACTION"
    among = "IN :names"
    # Of no time zone, whose clock may be put back.
    now = latest_change = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"

    # LAST_INSERT_ID tells the new head along with the answer; 0 stands for "not by this".
    upsert = """
        INSERT INTO {streams} (stream_id, epoch, head, changed, history, history_age)
        VALUES (:stream_id, :epoch, LAST_INSERT_ID(:count), {now}, :history, :history_age)
        ON DUPLICATE KEY UPDATE head = IF(end_nonce IS NULL AND epoch = :epoch,
            LAST_INSERT_ID(head + :count), head + LAST_INSERT_ID(0)),
            changed = IF(end_nonce IS NULL, {now}, changed),
            history = GREATEST(history, :history), history_age = GREATEST(history_age, :history_age)"""
    state: ClassVar[str] = "SELECT epoch, end_nonce FROM {streams} WHERE stream_id = :stream_id FOR UPDATE"
    count_all: ClassVar[str] = """
        INSERT INTO {streams} (stream_id, epoch, head, changed, history, history_age) VALUES %s
        ON DUPLICATE KEY UPDATE head = head + IF(end_nonce IS NULL, :count, 0),
            changed = IF(end_nonce IS NULL, {now}, changed),
            history = GREATEST(history, :history), history_age = GREATEST(history_age, :history_age)"""
    counted_all: ClassVar[str] = """
        SELECT stream_id, epoch, head - :count, history FROM {streams}
        WHERE stream_id {among} AND end_nonce IS NULL"""
    """Locks nothing: the rows are locked by then, and where it reads the whole table, all would be."""
    finish = """
        INSERT INTO {streams} (stream_id, epoch, head, end_nonce, changed, history, history_age)
        VALUES (:stream_id, :epoch, 0, :nonce, {now}, 0, 0)
        ON DUPLICATE KEY UPDATE changed = IF(end_nonce IS NULL, {now}, changed),
            end_nonce = COALESCE(end_nonce, :nonce)"""
    first_meta = """
        INSERT INTO {meta} (id, version, epoch, tidied_at, history, history_age)
        VALUES (1, :version, :epoch, 0, 0, 0) ON DUPLICATE KEY UPDATE version = version"""

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
        self._has_snapshots = False
        self._state = self.render(self.state)
        self._counted_all = self.render(self.counted_all)
        self._several = self.render(self.several)

    def stream_id(self, name: str) -> bytes:
        return name.encode(errors="surrogateescape")

    def name_of(self, value: bytes) -> str:
        return value.decode(errors="surrogateescape")  # somebody else may have written it

    def among_texts(self, texts: Collection[str]) -> dict[str, Any]:
        return {"names": list(texts)}

    def among_these(self, names: Collection[str]) -> dict[str, Any]:
        return {"names": [name.encode() for name in names]}

    def many(self, ranges: Mapping[str, Range], max_bytes: int) -> tuple[str, dict[str, Any]]:
        parameters = {**self.among_these(ranges), "max_bytes": max_bytes}
        parameters["limit"] = max([limit for _, limit in ranges.values()])
        at: list[str] = []
        after: list[str] = []
        afters: list[str] = []
        for number, (name, (sequence, limit)) in enumerate(ranges.items()):
            parameters[f"stream_{number}"] = name.encode()
            stream = f"%(stream_{number})s"
            at.append(f"(stream_id = {stream} AND sequence = {sequence})")
            after.append(f"(stream_id = {stream} AND sequence BETWEEN {sequence + 1} AND {sequence + limit})")
            afters.append(f"WHEN {stream} THEN {sequence}")
        sql = self._several.format(at=" OR ".join(at), after=" OR ".join(after), afters=" ".join(afters))
        return sql, parameters

    def append(self, db: DBAPICursor, batch: Batch, *, alone: bool) -> Stored | None:
        if alone or not self._has_snapshots:
            return super().append(db, batch, alone=alone)
        with self.seeing_all(db):
            return super().append(db, batch, alone=alone)

    @contextmanager
    def seeing_all(self, db: DBAPICursor) -> Generator[None]:
        if not self._has_snapshots:
            yield
            return
        db.execute(_SNAPSHOTS_OFF)
        try:
            yield
        finally:
            with suppress(Exception):  # of a connection that broke
                db.execute(_SNAPSHOTS_BACK)

    def advance(self, db: DBAPICursor, batch: Batch) -> Stored | None:
        count, stream_id = len(batch.events), batch.stream_id.encode()
        epoch, end_nonce = batch.epoch, None
        while end_nonce is None:
            db.execute(
                self._upsert,
                {"stream_id": stream_id, **batch.counted, "epoch": epoch},
            )
            if head := db.lastrowid:
                return Stored(epoch, head - count, 0)  # what it keeps is asked when it is trimmed
            db.execute(self._state, {"stream_id": stream_id})
            epoch, end_nonce = db.fetchone() or (epoch, None)
        return None

    def append_to_many(self, db: DBAPICursor, many: ManyBatch) -> dict[str, Stored]:
        parameters = many.batch.counted
        streams: dict[str, Any] = {f"stream_{n}": name.encode() for n, name in enumerate(many.keys)}
        rows = [f"(:{name}, :epoch, :count, {{now}}, :history, :history_age)" for name in streams]
        db.execute(self.render(self.count_all % ", ".join(rows)), {**parameters, **streams})
        found = self.rows(db, self._counted_all, {**parameters, **self.among_these(many.keys)})
        stored = {self.name_of(name): Stored(*where) for name, *where in found}
        self.store_in_many(db, many, stored)
        return stored

    @classmethod
    def connect_arguments(cls, url: URL, options: Options) -> dict[str, Any]:
        seconds = max(1, math.ceil(options.timeout))
        timeouts = {
            "connect_timeout": seconds,
            "read_timeout": 2 * seconds,  # longer than the wait for a lock
            "write_timeout": 2 * seconds,
        }
        # Of text PyMySQL makes Latin-1.
        latin = url.get_driver_name() == "pymysql" and url.password
        login = {"password": url.password.encode()} if url.password and latin else {}
        own = {name: value for name, value in timeouts.items() if name not in url.query}
        return {**login, **own, "charset": "utf8mb4"}

    @classmethod
    def settings(cls, options: Options) -> Sequence[str]:
        return (
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
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
        db.execute("SHOW VARIABLES LIKE 'innodb_snapshot_isolation'")
        self._has_snapshots = db.fetchone() is not None

    def in_transaction(self, connection: Any, db: DBAPICursor) -> bool:
        if hasattr(connection, "server_status"):  # PyMySQL
            status = connection.server_status
            return bool(status & _IN_TRANSACTION) or not status & _AUTOCOMMIT
        if not connection.get_autocommit():
            return True
        try:  # out of a transaction a savepoint is gone at once
            db.execute("SAVEPOINT streamy_probe")
            db.execute("RELEASE SAVEPOINT streamy_probe")
        except Exception as error:
            if error.args[:1] != (_NO_SUCH_SAVEPOINT,):
                raise
            return False
        return True

    def place(self, connection: Any, db: DBAPICursor, row: Sequence[Any]) -> Place:
        server, database, client, literals = row
        encoding = getattr(connection, "encoding", "utf8")
        if {client, literals} != {"utf8mb4"} or encoding not in ("utf8", "utf8mb4"):
            raise ConfigError(
                f"the connection's charset is {client} ({encoding}), which can't hold every text: say "
                "charset=utf8mb4 in its URL"
            )
        known = self._tables.streams.schema
        return Place((server, known or database), (known or str(database),))

    def elsewhere(self, theirs: Place, ours: Place) -> ConfigError:
        same = theirs.key[0] == ours.key[0]
        cure = f"set the option schema={ours.names[0]} in all processes, and every session finds them"
        return elsewhere(theirs, ours if same else f"that of another server, {ours}", cure if same else "")


class Mariadb(Mysql):
    """MariaDB appends by one compound statement: https://mariadb.com/kb/en/begin-end/."""

    begin: ClassVar[str | None] = None
    # A session may be led to any node of a Galera cluster.
    whereabouts = """
        SELECT IF(@@global.wsrep_on, @@wsrep_cluster_name, CONCAT_WS(' ', @@hostname, @@port, @@datadir)),
            DATABASE(), @@character_set_client, @@character_set_connection"""

    append_all: ClassVar[str] = """
        BEGIN NOT ATOMIC
            DECLARE stream_epoch, stream_end VARCHAR(16);
            DECLARE sequence_before, stream_history BIGINT;
            {alone}
            INSERT INTO {streams} (stream_id, epoch, head, changed, history, history_age)
            VALUES (:stream_id, :epoch, :count, {now}, :history, :history_age)
            ON DUPLICATE KEY UPDATE head = head + IF(end_nonce IS NULL, :count, 0),
                changed = IF(end_nonce IS NULL, {now}, changed),
                history = GREATEST(history, :history), history_age = GREATEST(history_age, :history_age);
            SELECT epoch, head - :count, end_nonce, history
            INTO stream_epoch, sequence_before, stream_end, stream_history
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
            SELECT stream_epoch, sequence_before, stream_history FROM DUAL WHERE stream_end IS NULL;
        END"""
    row: ClassVar[str] = (
        "(:stream_id, sequence_before + %d, :nonce, :stored_at, :name_%d, :retry_%d, :data_%d)"
    )
    guard: ClassVar[str] = f"""
            DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN {_SNAPSHOTS_BACK}; RESIGNAL; END;
            {_SNAPSHOTS_OFF};"""
    alone: ClassVar[str] = """
            DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
            START TRANSACTION;"""

    def append(self, db: DBAPICursor, batch: Batch, *, alone: bool) -> Stored | None:
        parameters: dict[str, Any] = {
            "stream_id": batch.stream_id.encode(),
            **batch.counted,
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
        if alone:
            begin, done = self.alone, "COMMIT;"
        elif self._has_snapshots:
            begin, done = self.guard, f"{_SNAPSHOTS_BACK};"
        else:
            begin, done = "", ""
        sql = self.append_all.replace("{alone}", begin).replace("{done}", done)
        db.execute(self.render(sql % rows), parameters)
        found = db.fetchone()
        return None if found is None else Stored(*found)
