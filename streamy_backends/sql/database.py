"""The engine: lends connections, runs transactions, and says what an error means."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Final
from weakref import WeakSet

from sqlalchemy import URL, Connection, Engine, MetaData, Pool, create_engine, event
from sqlalchemy import exc as sa
from sqlalchemy.engine.interfaces import DBAPICursor

from streamy_core.broker import BrokerUnavailable, Closed, ConfigError, redact

from .bells import Bell
from .dialect import Dialect
from .fork_barrier import ForkBarrier
from .mysql import Mariadb, Mysql
from .options import Options
from .postgresql import Postgresql
from .sqlite import Sqlite
from .tables import Tables

_KINDS: Final[dict[str, type[Dialect]]] = {
    "sqlite": Sqlite, "postgresql": Postgresql, "mysql": Mysql, "mariadb": Mariadb,
}  # fmt: skip

_CREATORS: Final = 5


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
        self.engine: Engine = _new_engine(url, options) if options.engine is None else options.engine
        self._lent = self.engine if self._own else self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._driver = self.engine.dialect.loaded_dbapi
        self.dialect: Dialect = _kind(url)(self.engine, tables, options)
        self._turn = threading.Lock() if self.dialect.lone_writer else None
        self._opening = self.dialect.render(self.dialect.opening)
        self._bells: WeakSet[Bell] = WeakSet()
        self._barrier = None if self.dialect.survives_fork else ForkBarrier(self.close_idle, self._timeout)
        self._closed = False
        self.url: str = redact(url.render_as_string())

    @contextmanager
    def autocommit(self, doing: str) -> Generator[DBAPICursor]:
        """Lend a DB-API cursor, each of whose statements is committed by itself.

        doing: for the messages of errors: "could not {doing} in …".

        Raises, for what the database finds wrong, BrokerUnavailable if it may pass, else Conflict,
        MissingTable or ConfigError; Closed.
        """
        with self._lend(doing) as connection:
            yield connection.connection.cursor()

    @contextmanager
    def reading(self, doing: str) -> Generator[DBAPICursor]:
        """Lend one for `Dialect.read` and the like. Raises likewise."""
        with self._lend(doing) as connection, self._bracketed(connection, self.dialect.begin_reading) as db:
            yield db

    @contextmanager
    def transaction(self, doing: str) -> Generator[DBAPICursor]:
        """Lend one for a transaction, which commits in the end, or rolls back. Raises likewise."""
        with (
            self._in_turn(doing),
            self._lend(doing) as connection,
            self._bracketed(connection, self.dialect.begin) as db,
        ):
            yield db

    def bell(self) -> Bell:
        """A bell of this database, for its caller to close. Raises BrokerUnavailable."""
        bell = self.dialect.bell(self._connect)
        self._bells.add(bell)
        return bell

    def close_idle(self) -> None:
        """Close the connections that nobody uses now; more are opened when they are needed."""
        self.engine.dispose()
        for bell in list(self._bells):
            bell.suspend()

    def _connect(self) -> Any:
        with self.faults("connect"), self._barrier or nullcontext():
            lent = self.engine.raw_connection()
            connection, driver = lent.dbapi_connection, lent.driver_connection
            assert connection is not None
            lent.detach()
            self.engine.dialect.set_isolation_level(connection, "AUTOCOMMIT")
            return driver

    @contextmanager
    def _lend(self, doing: str) -> Generator[Connection]:
        with self.faults(doing), self._barrier or nullcontext():
            if self._closed:
                raise Closed("this SQL broker has been closed")
            with self._lent.connect() as connection:
                try:
                    yield connection
                except BaseException as error:
                    self._drop_if_broken(connection, error)
                    raise
                finally:
                    if self._closed and self._own and not connection.invalidated:
                        connection.detach()  # so that it is closed, and not kept in a pool

    @contextmanager
    def _bracketed(self, connection: Connection, begin: str | None) -> Generator[DBAPICursor]:
        """A DB-API cursor within a transaction that `begin` begins; None: of no transaction."""
        db = connection.connection.cursor()
        if begin is None:
            yield db
            return
        db.execute(begin)
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            try:
                db.execute("ROLLBACK")
            except Exception:  # noqa: BLE001 - what went wrong first is what matters
                connection.invalidate()
            raise

    @contextmanager
    def faults(self, doing: str) -> Generator[None]:
        """Turn errors of SQLAlchemy's, or of the driver's, into ours, as `autocommit` does."""
        try:
            yield
        except (sa.SQLAlchemyError, self._driver.Error) as error:
            raise self._meaning(error, doing) from error

    @contextmanager
    def within(self, connection: Connection, doing: str) -> Generator[DBAPICursor]:
        """Lend a DB-API cursor of somebody else's transaction.

        If the block raises, nothing is left of what it did, even if that transaction goes on.
        Raises likewise, and ConfigError if the connection is one of another kind of database, or
        commits each statement by itself.
        """
        kind = connection.dialect.name
        if kind not in self.dialect.kinds:
            raise ConfigError(f"the session's database is {kind}, and the streams are in {self.url}")
        with self.faults(doing):
            # By SQLAlchemy, which only so knows that the transaction has begun.
            connection.exec_driver_sql(self._opening)
            if not self.dialect.in_transaction(connection.connection.driver_connection):
                raise ConfigError(
                    "the session's connection is in autocommit mode: there is no transaction to publish in"
                )
            db = connection.connection.cursor()
            db.execute("SAVEPOINT streamy")
            try:
                yield db
            except BaseException:
                try:
                    db.execute("ROLLBACK TO SAVEPOINT streamy")
                except self._driver.Error:  # all of it is rolled back, which SQLAlchemy has to know
                    connection.invalidate()
                raise
            db.execute("RELEASE SAVEPOINT streamy")

    def create(self, metadata: MetaData) -> None:
        """Make the tables that aren't there. Raises as `autocommit`."""
        for attempt in range(_CREATORS):
            try:
                with self._lend("make the tables") as connection:
                    metadata.create_all(connection)
                    connection.commit()  # an engine that was given may begin transactions in its own way
                return
            except MissingTable as error:  # their schema, rather
                raise ConfigError(str(error)) from None
            except (ConfigError, BrokerUnavailable, Conflict):
                # Another process may have made the same one, since we looked for it.
                if attempt == _CREATORS - 1:
                    raise

    def is_refusal(self, error: BaseException) -> bool:
        """Whether this, when connecting, is more than a passing fault."""
        cause = error.__cause__
        fault = getattr(cause, "orig", None) or cause
        return isinstance(fault, Exception) and self.dialect.is_refusal(fault)

    def close(self) -> None:
        """Free the engine, if it is ours. Closing twice does nothing."""
        self._closed = True
        if self._own:
            self.engine.dispose()

    def disown(self) -> Pool:
        """In a forked child: give up the parent's connections.

        Returns what holds them, to be kept: once it goes they are closed, and their server is told so.
        """
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
        if isinstance(error, sa.UnboundExecutionError):
            return ConfigError(f"the session leads to no database: {error}")
        if isinstance(fault, driver.ProgrammingError | driver.DataError | driver.NotSupportedError):
            return ConfigError(text)
        return BrokerUnavailable(text)

    @contextmanager
    def _in_turn(self, doing: str) -> Generator[None]:
        if self._turn is None:
            yield
            return
        if not self._turn.acquire(timeout=self._timeout):
            raise BrokerUnavailable(f"could not {doing} in {self.url}: this process writes all the time")
        try:
            yield
        finally:
            self._turn.release()

    def _drop_if_broken(self, connection: Connection, error: BaseException) -> None:
        if not isinstance(error, Exception):  # a greenlet killed in the middle of an answer, say
            connection.invalidate()
        elif isinstance(error, self._driver.Error) and not connection.invalidated:
            driver = connection.connection.dbapi_connection
            if self.engine.dialect.is_disconnect(error, driver, None):
                # SQLAlchemy, once it sees that itself, drops all those that are as old.
                with suppress(sa.SQLAlchemyError):
                    connection.exec_driver_sql("SELECT 1")
                connection.invalidate()


def _kind(url: URL) -> type[Dialect]:
    name = url.get_backend_name()
    if name not in _KINDS:
        raise ConfigError(f"streams can't be kept in {name}; they can in {', '.join(_KINDS)}")
    return _KINDS[name]


def _new_engine(url: URL, options: Options) -> Engine:
    kind = _kind(url)
    with warnings.catch_warnings():
        warnings.simplefilter("error", sa.SAWarning)  # which is all that SQLAlchemy has for an unknown option
        try:
            engine = create_engine(
                url,
                isolation_level="AUTOCOMMIT",
                pool_size=options.max_connections,
                max_overflow=0,
                pool_timeout=options.timeout,
                pool_reset_on_return=None,
                connect_args=kind.connect_arguments(url, options),
            )
        except sa.SAWarning as warning:
            raise ConfigError(f"{redact(url.render_as_string())}: {warning}") from None

    def connect(_dialect: object, _record: object, args: list[Any], arguments: dict[str, Any]) -> Any:
        return kind.connect(options, args, arguments)

    def prepare(connection: Any, _record: object) -> None:
        db = connection.cursor()
        for setting in kind.settings(options):
            db.execute(setting)
        db.close()

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "connect", prepare)
    return engine
