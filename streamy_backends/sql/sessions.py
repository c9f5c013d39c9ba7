"""What `session=` takes: somebody else's connection, on which their transaction is under way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, TwoPhaseTransaction, update

from streamy_core.broker import ConfigError

from .drivers import check_driver, kind_of_connection, plain_cursor
from .pool import renew_pool


class Place(NamedTuple):
    """Which tables a connection leads to.

    key:   equal for two connections if, and only if, they lead to the same tables.
    names: what the database, and the schema, are called there, for messages.
    """

    key: tuple[Any, ...]
    names: tuple[str, ...]

    def __str__(self) -> str:
        return " of ".join(self.names[::-1])


class Borrowed:
    """A connection with somebody's transaction.

    raw:  the driver's.
    kind: SQLAlchemy's name of its database.
    """

    def __init__(self, raw: Any, kind: str, connection: Connection | None = None) -> None:
        self.raw = raw
        self.kind = kind
        self.connection = connection

    def open(self, sql: str) -> Sequence[Any]:
        """Do what makes the driver begin a transaction. Returns the row that it gives, if any."""
        if self.connection is not None:  # by SQLAlchemy, which only so knows that it has begun
            result = self.connection.exec_driver_sql(sql)
            return tuple(result.one()) if result.returns_rows else ()
        db = plain_cursor(self.raw)
        db.execute(sql)
        row = db.fetchone() if db.description else ()
        db.close()
        return tuple(row or ())

    def spoil(self) -> None:
        """All of the transaction is rolled back, which SQLAlchemy has to know."""
        if self.connection is not None:
            self.connection.invalidate()

    def renew(self) -> None:
        """Have its engine, if it has one, connect anew."""
        if self.connection is not None:
            renew_pool(self.connection.engine)


def borrow(session: Any, streams: Table, *, notifies: bool) -> Borrowed:
    """The session's connection. Raises TypeError, and ConfigError for a driver that isn't supported.

    streams:  what is written to, by which a session with several engines chooses.
    notifies: whether publishing does, on PostgreSQL.
    """
    if raw := kind_of_connection(session):
        return Borrowed(session, raw[1])
    connection = session
    if not isinstance(session, Connection):
        connect = getattr(session, "connection", None)
        # As by the flush of a change: a session may write elsewhere than it reads.
        connection = connect(bind_arguments={"clause": update(streams)}) if callable(connect) else None
    if not isinstance(connection, Connection):
        kind = type(session).__name__
        raise TypeError(
            f"session is a driver's connection, or a SQLAlchemy Session or Connection, not {kind}"
        )
    check_driver(connection.dialect.driver, "the session's driver")
    if notifies and isinstance(connection.get_transaction(), TwoPhaseTransaction):
        raise ConfigError(
            "the session commits in two phases, and PostgreSQL can't prepare a transaction that notifies: "
            "set the option notify=false, in all processes"
        )
    return Borrowed(connection.connection.driver_connection, connection.dialect.name, connection)


def elsewhere(theirs: object, watched: object, cure: str = "") -> ConfigError:
    """What is raised for a session that would write where nobody looks."""
    return ConfigError(
        f"the session's database isn't that of the streams: it would write to {theirs}, and what is read is "
        f"{watched}{cure and ': '}{cure}"
    )
