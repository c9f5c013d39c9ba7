"""The engine: lends connections, runs transactions, and says what an error means."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Final
from weakref import WeakSet

from sqlalchemy import URL, Connection, Engine, MetaData, Pool
from sqlalchemy import exc as sa
from sqlalchemy.engine.interfaces import DBAPICursor

from streamy_core.broker import BrokerUnavailable, Closed, ConfigError, redact
from streamy_core.errors import StreamyError

from .bells import Bell
from .dialect import Dialect
from .drivers import is_driver_error, plain_cursor
from .engine import kind_of, new_engine
from .faults import (
    Conflict,
    Fault,
    Meaning,
    MissingTable,
    Replaced,
    Stale,
    WriteRefused,
    meaning_of,
    once_more,
)
from .fork_barrier import ForkBarrier
from .options import Options
from .pool import renew_pool
from .sessions import Borrowed, Place
from .tables import Tables

_CREATORS: Final = 5
_USED: Final = "streamy_used"

logger: Final = logging.getLogger("streamy.sql")


class Database:
    """One database, over SQLAlchemy's pool of connections. Any thread, of one process.

    Each statement is committed by itself, but for those that `transaction` brackets.
    """

    def __init__(self, url: URL, options: Options, tables: Tables) -> None:
        self._timeout = options.timeout
        self._own = options.engine is None
        self.engine: Engine = new_engine(url, options) if options.engine is None else options.engine
        self._lent = self.engine if self._own else self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._driver = self.engine.dialect.loaded_dbapi
        self.dialect: Dialect = kind_of(url)(self.engine, tables, options)
        self._turn = threading.Lock() if self.dialect.lone_writer else None
        self._opening = self.dialect.render(self.dialect.opening)
        self._whereabouts = self.dialect.render(self.dialect.whereabouts)
        self._bells: WeakSet[Bell] = WeakSet()
        self._barrier = None if self.dialect.survives_fork else ForkBarrier(self.renew, self._timeout)
        self._closed = False
        self.place: Place | None = None  # where the tables are, as they were found last
        self.url: str = redact(url.render_as_string())

    @contextmanager
    def autocommit(self, doing: str) -> Generator[DBAPICursor]:
        """Lend a DB-API cursor, each of whose statements is committed by itself.

        doing: for the messages of errors: "could not {doing} in …".

        Raises, for what the database finds wrong, BrokerUnavailable if it may pass (Stale, if it comes of
        a connection that was open before), else Conflict, MissingTable or ConfigError; Closed.
        """
        with self._lend(doing) as connection, _cursor(connection) as db:
            yield db

    @contextmanager
    def reading(self, doing: str) -> Generator[DBAPICursor]:
        """Lend one for `Dialect.read` and the like. Raises likewise."""
        with self._lend(doing) as connection, self._bracketed(connection, self.dialect.begin_reading) as db:
            yield db

    @contextmanager
    def transaction(self, doing: str, begin: str | None) -> Generator[DBAPICursor]:
        """Lend one for a transaction, which commits in the end, or rolls back. Raises likewise.

        begin: what begins it; None where there is but one statement.
        """
        with (
            self._in_turn(doing),
            self._lend(doing) as connection,
            self._bracketed(connection, begin) as db,
        ):
            yield db

    def bell(self) -> Bell:
        """A bell of this database, for its caller to close. Raises BrokerUnavailable."""
        bell = self.dialect.bell(self._connect, self._is_replaced)
        self._bells.add(bell)
        return bell

    def renew(self) -> None:
        """Close the connections that nobody uses now, and the bells'; others are opened when needed."""
        renew_pool(self.engine)
        for bell in list(self._bells):
            bell.renew()

    def _connect(self, first: str) -> Any:
        """A driver's connection, for its caller to close, by which this statement has been done."""
        with self.faults("connect"), self._barrier or nullcontext():
            lent = self.engine.raw_connection()
            assert lent.dbapi_connection is not None
            try:
                self.engine.dialect.set_isolation_level(lent.dbapi_connection, "AUTOCOMMIT")
                db = lent.cursor()
                db.execute(first)
                db.close()
            except self._driver.Error as error:
                lent.invalidate()
                renew_pool(self.engine)  # which is no newer
                meaning = self._meaning(error, "connect")
                raise Stale(str(meaning)) if isinstance(meaning, BrokerUnavailable) else meaning from error
            driver = lent.driver_connection
            lent.detach()
            return driver

    @contextmanager
    def _lend(self, doing: str) -> Generator[Connection]:
        with self.faults(doing), self._barrier or nullcontext():
            if self._closed:
                raise Closed("this SQL broker has been closed")
            if self._is_replaced():
                self._begin_anew(doing)
            with self._checked_out(doing) as connection:
                used = connection.info.setdefault(_USED, False)
                connection.info[_USED] = True
                began = time.monotonic()
                try:
                    yield connection
                except BaseException as error:
                    # A server that doesn't answer isn't waited for twice.
                    at_once = time.monotonic() - began < 1.5 * self._timeout
                    if self._drop_if_broken(connection, error) and used and at_once:
                        raise Stale(self._text(error, doing)) from error
                    raise
                finally:
                    if self._closed and self._own and not connection.invalidated:
                        connection.detach()  # so that it is closed, and not kept in a pool

    def _is_replaced(self) -> bool:
        place = self.place
        return place is not None and self.dialect.is_replaced(place)

    def _begin_anew(self, doing: str) -> None:
        self.place = None
        self.renew()
        text = f"could not {doing} in {self.url}: its file was removed, or replaced by another"
        logger.error("%s: what that has goes on, and clients are told of a gap", text)
        raise Replaced(text)

    def _checked_out(self, doing: str) -> Connection:
        try:
            return self._lent.connect()
        except StreamyError:
            raise
        except Exception as error:  # whatever a driver makes of what the URL says
            meaning = self._meaning(error, doing)
            if isinstance(error, self._driver.Error) and isinstance(meaning, BrokerUnavailable):
                # Not by connecting, whose errors are SQLAlchemy's, but by setting up one out of the pool.
                renew_pool(self.engine)
                raise Stale(str(meaning)) from error
            raise meaning from error

    @contextmanager
    def _bracketed(self, connection: Connection, begin: str | None) -> Generator[DBAPICursor]:
        """A DB-API cursor within a transaction that `begin` begins; None: of no transaction."""
        db = connection.connection.cursor()
        if begin is not None:
            db.execute(begin)
        try:
            yield db
            if begin is not None:
                db.execute("COMMIT")
        except BaseException:
            if begin is not None:
                try:
                    db.execute("ROLLBACK")
                except Exception:  # noqa: BLE001 - what went wrong first is what matters
                    connection.invalidate()
            raise
        db.close()

    @contextmanager
    def faults(self, doing: str) -> Generator[None]:
        """Turn errors of SQLAlchemy's, or of a driver's, into ours, as `autocommit` does."""
        try:
            yield
        except Exception as error:
            if isinstance(error, sa.SQLAlchemyError) or is_driver_error(error):
                raise self._meaning(error, doing) from error
            raise

    @contextmanager
    def within(self, borrowed: Borrowed, doing: str) -> Generator[DBAPICursor]:
        """Lend a DB-API cursor of somebody else's transaction.

        If the block raises, nothing is left of what it did, even if that transaction goes on.
        Raises likewise, and ConfigError, before anything is done, if the connection leads elsewhere, isn't
        one of Unicode, or commits each statement by itself.
        """
        if borrowed.kind not in self.dialect.kinds:
            raise ConfigError(f"the session's database is {borrowed.kind}, and the streams are in {self.url}")
        with self.faults(doing):
            db = plain_cursor(borrowed.raw)
            self._check_place(borrowed, db)
            if not self.dialect.in_transaction(borrowed.raw, db):
                raise ConfigError(
                    "the session's connection is in autocommit mode: there is no transaction to publish in"
                )
            db.execute("SAVEPOINT streamy")
            try:
                yield db
            except BaseException as error:
                if self._fault(error).meaning is Meaning.REFUSAL:
                    borrowed.renew()
                    self.renew()
                try:
                    db.execute("ROLLBACK TO SAVEPOINT streamy")
                except Exception:  # noqa: BLE001 - all of it is rolled back
                    borrowed.spoil()
                raise
            db.execute("RELEASE SAVEPOINT streamy")
            db.close()

    def _check_place(self, borrowed: Borrowed, db: DBAPICursor) -> None:
        """See that the tables that will be written are those that are read. Begins the transaction."""
        if self._is_replaced():
            borrowed.renew()  # its connection may lead to the old one
            self._begin_anew("publish")
        theirs = self.dialect.place(borrowed.raw, db, borrowed.open(self._opening))
        if self.place is not None and theirs.key == self.place.key:
            return
        ours = self.find_place()
        if theirs.key != ours.key:  # connections of ours may lead to a server that was replaced
            self.renew()
            ours = self.find_place()
        if theirs.key != ours.key:
            raise self.dialect.elsewhere(theirs, ours)

    @once_more
    def find_place(self) -> Place:
        """See anew where the tables are, which sessions are held against. Raises as `autocommit`."""
        # In a transaction, which goes to where those of sessions go, if a proxy chooses among servers.
        with self._lend("find the tables") as connection, self._bracketed(connection, "BEGIN") as db:
            db.execute(self._whereabouts)
            raw = connection.connection.driver_connection
            self.place = self.dialect.place(raw, db, db.fetchone() or ())
        return self.place

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

    def is_wrong_setup(self, error: BaseException) -> bool:
        """Whether this, when it is raised at start, is more than a passing fault."""
        return error.__cause__ is not None and self._fault(error.__cause__).meaning is Meaning.OPENING

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
        text = self._text(error, doing)
        if isinstance(error, sa.UnboundExecutionError):
            return ConfigError(f"the session leads to no database: {error}")
        if isinstance(error, sa.DBAPIError) and error.connection_invalidated:
            return Stale(text)
        return _ERRORS[self._fault(error).meaning](text)

    def _fault(self, error: BaseException) -> Fault:
        fault = getattr(error, "orig", None) or error
        if isinstance(fault, sa.SQLAlchemyError | StreamyError):  # all connections are in use, say
            return Fault(Meaning.PASSING)
        return meaning_of(fault, self.dialect.rules)

    def _text(self, error: BaseException, doing: str) -> str:
        fault = getattr(error, "orig", None) or error
        cure = self._fault(error).cure
        text = f"could not {doing} in {self.url}: {type(fault).__name__}: {fault}".rstrip()
        return f"{text}: {cure}" if cure else text

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

    def _drop_if_broken(self, connection: Connection, error: BaseException) -> bool:
        """Have it, and all that are as old, closed if it is of no use any more. Returns whether it was."""
        if not isinstance(error, Exception):  # a greenlet killed in the middle of an answer, say
            connection.invalidate()
        elif isinstance(error, self._driver.Error) and not connection.invalidated:
            if self._fault(error).meaning is Meaning.REFUSAL:
                connection.invalidate()
                self.renew()
                return False  # which says so by itself
            driver = connection.connection.dbapi_connection
            if self.engine.dialect.is_disconnect(error, driver, None):
                # SQLAlchemy, once it sees that itself, drops all those that are as old.
                with suppress(sa.SQLAlchemyError):
                    connection.exec_driver_sql("SELECT 1")
                connection.invalidate()
                return True
        return False


@contextmanager
def _cursor(connection: Connection) -> Generator[DBAPICursor]:
    """A DB-API cursor, closed in the end, so that mysqlclient can use another."""
    db = connection.connection.cursor()
    yield db
    db.close()


_ERRORS: Final[dict[Meaning, type[Exception]]] = {
    Meaning.PASSING: BrokerUnavailable,
    Meaning.REFUSAL: WriteRefused,
    Meaning.OPENING: BrokerUnavailable,
    Meaning.SETUP: ConfigError,
    Meaning.DEFECT: ConfigError,
    Meaning.CONFLICT: Conflict,
    Meaning.MISSING_TABLE: MissingTable,
}
