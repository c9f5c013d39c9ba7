"""The engine: lends connections, runs transactions, and says what an error means."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, MetaData, Pool, create_engine, event
from sqlalchemy import exc as sa
from sqlalchemy.engine.interfaces import DBAPICursor

from streamy_core.errors import BrokerUnavailable, ConfigError
from streamy_core.urls import redact

from .dialect import Dialect
from .mysql import Mariadb, Mysql
from .options import Options
from .postgresql import Postgresql
from .sqlite import Sqlite
from .tables import Tables

_KINDS: Final[dict[str, type[Dialect]]] = {
    "sqlite": Sqlite, "postgresql": Postgresql, "mysql": Mysql, "mariadb": Mariadb,
}  # fmt: skip

_CREATORS: Final = 5
_LOCK: Final = "UPDATE {streams} SET head = head WHERE stream_id = :stream_id"


class Conflict(Exception):
    """Something that has to be unique, like an idempotency key, is there already."""


class MissingTable(Exception):
    """One of the tables isn't there."""


class Database:
    """One database, over SQLAlchemy's pool of connections. Any thread, of one process.

    Each statement is committed by itself, but for those that `transaction` brackets.
    """

    def __init__(self, url: URL, options: Options, tables: Tables) -> None:
        self._timeout = options.timeout
        self._own = options.engine is None
        self.engine = _new_engine(url, options) if options.engine is None else options.engine
        self._lent = self.engine if self._own else self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._driver = self.engine.dialect.loaded_dbapi
        self.dialect = _kind(url)(self.engine, tables, options)
        self._turn = threading.Lock() if self.dialect.lone_writer else None
        self._lock = self.dialect.render(_LOCK)
        self.url = redact(url.render_as_string())

    @contextmanager
    def cursor(self, doing: str) -> Iterator[DBAPICursor]:
        """Lend a cursor. doing: for the messages of errors.

        Raises, for what the database finds wrong, BrokerUnavailable if it may pass, else Conflict,
        MissingTable or ConfigError.
        """
        with self._faults(doing), self._lent.connect() as connection, self._dropped_if_broken(connection):
            yield connection.connection.cursor()

    @contextmanager
    def transaction(self, doing: str) -> Iterator[DBAPICursor]:
        """Lend a cursor for one transaction, which commits in the end, or rolls back. Raises likewise."""
        begin = self.dialect.begin
        if begin is None:
            with self.cursor(doing) as cursor:
                yield cursor
            return
        with (
            self._in_turn(doing),
            self._faults(doing),
            self._lent.connect() as connection,
            self._dropped_if_broken(connection),
        ):
            cursor = connection.connection.cursor()
            cursor.execute(begin)
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                try:
                    cursor.execute("ROLLBACK")
                except Exception:  # noqa: BLE001 - what went wrong first is what matters
                    connection.invalidate()
                raise

    def connect(self) -> Any:
        """A connection of the driver's for the caller alone, who closes it. Raises BrokerUnavailable."""
        with self._faults("connect"):
            lent = self.engine.raw_connection()
            connection, driver = lent.dbapi_connection, lent.driver_connection
            assert connection is not None
            lent.detach()
            self.engine.dialect.set_isolation_level(connection, "AUTOCOMMIT")
            return driver

    @contextmanager
    def _faults(self, doing: str) -> Iterator[None]:
        """Turn errors of SQLAlchemy's, or of the driver's, into ours, as `cursor` does."""
        try:
            yield
        except (sa.SQLAlchemyError, self._driver.Error) as error:
            raise self._meaning(error, doing) from error

    @contextmanager
    def within(self, connection: Connection, doing: str, stream_id: str) -> Iterator[DBAPICursor]:
        """Lend a cursor of somebody else's transaction, once it has locked this stream's row.

        If the block raises, nothing is left of what it did, even if that transaction goes on.
        Raises likewise, and ConfigError if the connection commits each statement by itself.
        """
        with self._faults(doing):
            # By SQLAlchemy, which only so knows that the transaction has begun.
            connection.exec_driver_sql(self._lock, {"stream_id": self.dialect.stream_id(stream_id)})
            if not self.dialect.in_transaction(connection.connection.driver_connection):
                raise ConfigError(
                    "the session's connection is in autocommit mode: there is no transaction to publish in"
                )
            cursor = connection.connection.cursor()
            cursor.execute("SAVEPOINT streamy")
            try:
                yield cursor
            except BaseException:
                with suppress(self._driver.Error):  # then the database has rolled back all of it
                    cursor.execute("ROLLBACK TO SAVEPOINT streamy")
                raise
            cursor.execute("RELEASE SAVEPOINT streamy")

    def create(self, metadata: MetaData) -> None:
        """Make the tables that aren't there. Raises as `cursor`."""
        for attempt in range(_CREATORS):
            try:
                with self._faults("make the tables"):
                    metadata.create_all(self._lent)
                return
            except (ConfigError, BrokerUnavailable, Conflict):
                # Another process may have made the same one, between our look and our making it.
                if attempt == _CREATORS - 1:
                    raise

    def is_refusal(self, error: BaseException) -> bool:
        """Whether this, when connecting, is more than a passing fault."""
        cause = error.__cause__
        fault = getattr(cause, "orig", None) or cause
        return isinstance(fault, Exception) and self.dialect.is_refusal(fault)

    def close(self) -> None:
        """Free the engine, if it is ours."""
        if self._own:
            self.engine.dispose()

    def leave_behind(self) -> Pool:
        """In a forked child: the parent's connections, to be kept as they are, and not used."""
        pool = self.engine.pool
        self.engine.dispose(close=False)
        return pool

    def _meaning(self, error: Exception, doing: str) -> Exception:
        fault = getattr(error, "orig", None) or error
        driver = self._driver
        text = f"could not {doing} in {self.url}: {type(fault).__name__}: {fault}"
        if self.dialect.is_missing_table(fault):
            return MissingTable(text)
        if isinstance(fault, driver.IntegrityError):
            return Conflict(text)
        if isinstance(fault, driver.ProgrammingError | driver.DataError | driver.NotSupportedError):
            return ConfigError(text)
        return BrokerUnavailable(text)

    @contextmanager
    def _in_turn(self, doing: str) -> Iterator[None]:
        if self._turn is None:
            yield
            return
        if not self._turn.acquire(timeout=self._timeout):
            raise BrokerUnavailable(f"could not {doing} in {self.url}: this process writes all the time")
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def _dropped_if_broken(self, connection: Connection) -> Iterator[None]:
        try:
            yield
        except self._driver.Error as error:
            if self.engine.dialect.is_disconnect(error, connection.connection.dbapi_connection, None):
                connection.invalidate(error)
                self.engine.dispose()  # the others are no better
            raise
        except BaseException as error:
            if not isinstance(error, Exception):  # a greenlet killed in the middle of an answer, say
                connection.invalidate()
            raise


def _kind(url: URL) -> type[Dialect]:
    name = url.get_backend_name()
    if name not in _KINDS:
        raise ConfigError(f"streams can't be kept in {name}; they can in {', '.join(_KINDS)}")
    return _KINDS[name]


def _new_engine(url: URL, options: Options) -> Engine:
    kind = _kind(url)
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=options.max_connections,
        max_overflow=0,
        pool_timeout=options.timeout,
        pool_reset_on_return=None,
        connect_args=kind.connect_arguments(options),
    )

    def prepare(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for setting in kind.settings(options):
            cursor.execute(setting)
        cursor.close()

    event.listen(engine, "connect", prepare)
    return engine
