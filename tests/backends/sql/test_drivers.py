"""Every driver that is supported: its raw connections are sessions, and what is refused is stored nowhere."""

from __future__ import annotations

import importlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any, Final

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.orm import Session

from streamy_backends.sql import from_url
from streamy_backends.sql.drivers import SUPPORTED
from streamy_core import ConfigError, PublishFailed, StreamManager
from streamy_core.broker import Duplicate
from streamy_core.testing.reading import data_of, events, read_all, wait_for_bell

from ...support.requirements import go_without
from ..conftest import NewBroker, NewManager
from .conftest import NewEngine, with_driver
from .shop import names, texts

RAW: Final = ("sqlite3", "psycopg", "psycopg2", "pymysql", "MySQLdb")
ROCKET: Final = "\U0001f680"


@pytest.fixture(params=RAW)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def own_driver_url(driver: str, url_of: Callable[[str], str]) -> str:
    """A broker's, by this driver."""
    kind = {"sqlite3": "sqlite", "psycopg": "postgresql", "psycopg2": "postgresql"}.get(driver, "mariadb")
    if importlib.util.find_spec(driver) is None:
        go_without(f"{driver} is missing")
    scheme = {"psycopg2": "postgresql+psycopg2", "MySQLdb": "mariadb+mysqldb"}.get(driver, kind)
    return url_of(kind).replace(kind, scheme, 1)


@pytest.fixture
def sse(new_manager: NewManager, own_driver_url: str) -> StreamManager:
    return new_manager(own_driver_url)


Connect = Callable[..., Any]


@pytest.fixture
def connect(driver: str, own_driver_url: str) -> Iterator[Connect]:
    """Makes connections of the driver's, by its own arguments; closed in the end."""
    with ExitStack() as to_close:

        def make(**arguments: Any) -> Any:
            connection = new_connection(driver, own_driver_url, arguments)
            to_close.callback(lambda: close_quietly(connection))
            return connection

        yield make


def new_connection(driver: str, url: str, arguments: dict[str, Any]) -> Any:
    at = make_url(with_driver(url))
    module = importlib.import_module(driver)
    if driver == "sqlite3":
        return sqlite3.connect(str(at.database), **arguments)
    database = "dbname" if driver.startswith("psycopg") else "database"
    login = {"host": at.host, "port": at.port, "user": at.username, "password": at.password}
    charset = {} if driver.startswith("psycopg") else {"charset": "utf8mb4"}
    return module.connect(**{**login, database: at.database, **charset, **arguments})


def close_quietly(connection: Any) -> None:
    with suppress(Exception):
        connection.close()


def test_a_raw_connection_is_a_session(sse: StreamManager, connect: Connect) -> None:
    connection = connect()
    sse.send_event("news", f"never {ROCKET}", session=connection)
    connection.rollback()
    assert (texts(sse), names(sse)) == ([], [])
    sent = sse.send_events("news", ["a", ROCKET], session=connection)
    assert texts(sse) == []
    connection.commit()
    assert [entry.id for entry in read_all(sse.broker, "news")] == sent
    assert texts(sse) == ["a", ROCKET]


def test_a_raw_connection_publishes_a_key_once(sse: StreamManager, connect: Connect) -> None:
    broker: Any = sse.broker
    connection = connect()
    first = broker.append_within(connection, "news", events("a"), idempotency_key="k")
    again = broker.append_within(connection, "news", events("a"), idempotency_key="k")
    connection.commit()
    assert (list(again), isinstance(again, Duplicate)) == (first, True)
    assert texts(sse) == ["a"]


def in_autocommit(connect: Connect, driver: str) -> Any:
    """A connection that commits each statement by itself."""
    connection = connect(isolation_level=None) if driver == "sqlite3" else connect()
    if driver.startswith("psycopg"):
        connection.autocommit = True
    elif driver != "sqlite3":
        connection.autocommit(True)
    return connection


def test_a_raw_connection_that_commits_each_statement_is_refused_and_nothing_is_stored(
    sse: StreamManager, connect: Connect, driver: str
) -> None:
    connection = in_autocommit(connect, driver)
    for _ in range(2):
        with pytest.raises(ConfigError, match="autocommit"):
            sse.send_event("news", "never", session=connection)
    assert (texts(sse), names(sse)) == ([], [])


def test_a_transaction_that_is_begun_by_hand_in_autocommit_is_one(
    sse: StreamManager, connect: Connect, driver: str
) -> None:
    connection = in_autocommit(connect, driver)
    with closing(connection.cursor()) as db:
        db.execute("BEGIN")
        sse.send_event("news", "never", session=connection)
        db.execute("ROLLBACK")
        db.execute("BEGIN")
        sse.send_event("news", "a", session=connection)
        db.execute("COMMIT")
    assert texts(sse) == ["a"]


def test_rows_that_the_apps_connection_gives_in_its_own_shape_do_no_harm(
    sse: StreamManager, connect: Connect, driver: str
) -> None:
    if driver == "sqlite3":
        connection = connect()
        connection.row_factory = lambda cursor, row: dict(enumerate(row))
    else:
        name = {"psycopg": "row_factory", "psycopg2": "cursor_factory"}.get(driver, "cursorclass")
        module, shape = {
            "psycopg": ("psycopg.rows", "dict_row"),
            "psycopg2": ("psycopg2.extras", "RealDictCursor"),
            "pymysql": ("pymysql.cursors", "DictCursor"),
            "MySQLdb": ("MySQLdb.cursors", "DictCursor"),
        }[driver]
        connection = connect(**{name: getattr(importlib.import_module(module), shape)})
    sse.send_event("news", "a", session=connection)
    connection.commit()
    assert texts(sse) == ["a"]


def test_a_raw_connection_of_a_closed_kind_says_so(sse: StreamManager, connect: Connect) -> None:
    connection = connect()
    connection.close()
    with pytest.raises((PublishFailed, ConfigError)):
        sse.send_event("news", "never", session=connection)


def test_a_sqlalchemy_session_in_autocommit_stores_nothing_and_says_why(
    sse: StreamManager, new_engine: NewEngine, own_driver_url: str
) -> None:
    for _ in range(2):
        with Session(new_engine(own_driver_url, isolation_level="AUTOCOMMIT")) as session:
            with pytest.raises(ConfigError, match="autocommit"):
                sse.send_event("news", "never", session=session)
            session.commit()
    assert (texts(sse), names(sse)) == ([], [])


def test_a_lock_that_is_waited_for_too_long_is_no_raw_error(
    new_broker: NewBroker, own_driver_url: str, connect: Connect
) -> None:
    broker = new_broker(own_driver_url, timeout=1)
    holder = connect()
    append_within: Any = broker.append_within  # type: ignore[attr-defined]
    append_within(holder, "news", events("held"))
    with pytest.raises(Exception, match=r"could not append.*(lock|Lock)") as waited:
        broker.append("news", events("b"))
    assert type(waited.value).__name__ == "BrokerUnavailable"
    holder.rollback()


def test_an_engine_of_each_driver_makes_its_tables_and_hears(
    new_broker: NewBroker, new_engine: NewEngine, own_driver_url: str
) -> None:
    broker = new_broker("sql:", engine=new_engine(own_driver_url))
    with closing(broker.watch()) as watch:
        watch.add("news")
        new_broker(own_driver_url).append("news", events("a"))
        wait_for_bell(watch, "news")
    assert data_of(read_all(broker, "news")) == ["a"]


class OtherDriver:
    """Stands for a driver that isn't supported; never connected by."""

    paramstyle = "pyformat"
    version_info = (9, 9)
    __version__ = "9.9"
    Error = sqlite3.Error
    threadsafety = 1


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql+pg8000://host/shop", "pg8000"),
        ("mysql+mysqlconnector://host/shop", "mysqlconnector"),
    ],
)
def test_an_engine_of_another_driver_is_refused_by_name_with_those_that_serve(url: str, named: str) -> None:
    engine = create_engine(url, module=OtherDriver)
    with pytest.raises(ConfigError, match=rf"driver is {named}.*postgresql\+psycopg:.*mysql\+mysqldb:"):
        from_url("sql:", {"engine": engine})


def test_every_supported_driver_is_tried_here() -> None:
    assert sorted(driver.module for driver in SUPPORTED.values()) == sorted(RAW)


def test_a_session_in_sqlalchemys_hands_sees_what_a_raw_one_stored(
    sse: StreamManager, connect: Connect, new_engine: NewEngine, own_driver_url: str
) -> None:
    connection = connect()
    sse.send_event("news", "a", session=connection)
    connection.commit()
    with Session(new_engine(own_driver_url)) as session:
        assert session.execute(text("SELECT 1")).scalar_one() == 1
        sse.send_event("news", "b", session=session)
        session.commit()
    assert texts(sse) == ["a", "b"]
