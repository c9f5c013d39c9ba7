"""An app with a table of its own, and the ways in which it may run a transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from sqlalchemy import Column, Engine, Integer, MetaData, Table, insert, select
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from streamy_core import StreamManager
from streamy_core.broker import ListsStreams
from streamy_core.engine.subscription import Subscription
from streamy_core.testing import Transaction
from streamy_core.testing.reading import DEADLINE, data_of, read_all


class Shop:
    """Orders by their numbers. prefix: what the table's name begins with."""

    def __init__(self, engine: Engine, prefix: str) -> None:
        self.engine = engine
        metadata = MetaData()
        self._orders = Table(
            f"{prefix}orders",
            metadata,
            Column("number", Integer, primary_key=True, autoincrement=False),
            mysql_engine="InnoDB",
            mariadb_engine="InnoDB",
        )
        metadata.create_all(engine)

    def order(self, session: Any, number: int) -> None:
        session.execute(insert(self._orders).values(number=number))

    def look(self, session: Any) -> list[int]:
        return sorted(session.execute(select(self._orders.c.number)).scalars())

    @property
    def orders(self) -> list[int]:
        """Those that have been committed."""
        with self.engine.connect() as connection:
            return self.look(connection)


def texts(sse: StreamManager, stream_id: str = "news") -> list[str]:
    """What a stream holds."""
    return data_of(read_all(sse.broker, stream_id))


def names(sse: StreamManager) -> list[str]:
    """The streams that are there."""
    assert isinstance(sse.broker, ListsStreams)
    return [info.stream_id for info in sse.broker.streams()]


def next_of(subscription: Subscription) -> str:
    """The data of the entry that comes next."""
    entry = subscription.next(DEADLINE)
    assert entry is not None, "nothing came"
    return entry.event.data


Way = Callable[[Engine], AbstractContextManager[Transaction]]


@contextmanager
def in_a_session(engine: Engine) -> Iterator[Transaction]:
    with Session(engine) as session:
        yield Transaction(session, session.commit, session.rollback)


@contextmanager
def _begun_session(engine: Engine) -> Iterator[Transaction]:
    with Session(engine) as session:
        transaction = session.begin()
        yield Transaction(session, transaction.commit, transaction.rollback)


@contextmanager
def _scoped_session(engine: Engine) -> Iterator[Transaction]:
    session = scoped_session(sessionmaker(engine))
    try:
        yield Transaction(session, session.commit, session.rollback)
    finally:
        session.remove()


@contextmanager
def _connection(engine: Engine) -> Iterator[Transaction]:
    with engine.connect() as connection:
        yield Transaction(connection, connection.commit, connection.rollback)


@contextmanager
def _begun_connection(engine: Engine) -> Iterator[Transaction]:
    with engine.connect() as connection:
        transaction = connection.begin()
        yield Transaction(connection, transaction.commit, transaction.rollback)


WAYS: Final[dict[str, Way]] = {
    "a session": in_a_session,
    "a session that has begun": _begun_session,
    "a scoped session": _scoped_session,
    "a connection": _connection,
    "a connection that has begun": _begun_connection,
}


def stays_undone(doing: Future[Any]) -> bool:
    """Whether it waits, for a while at least."""
    try:
        doing.result(0.3)
    except TimeoutError:
        return True
    return False
