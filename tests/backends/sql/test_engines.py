"""The option `engine`: an app's own SQLAlchemy engine serves, and stays as it was."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, Engine, NullPool, QueuePool, StaticPool, create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from streamy_backends.sql import from_url
from streamy_backends.sql.pool import renew_pool
from streamy_core import ConfigError, StreamManager
from streamy_core.broker import AppendsWithin
from streamy_core.testing.reading import DEADLINE, data_of, events, eventually, read_all, wait_for_bell

from ..conftest import NewBroker, NewManager
from .conftest import KINDS, NewEngine, with_driver
from .servers import Server
from .shop import Shop, next_of, texts


@pytest.fixture(params=[NullPool, QueuePool])
def pooled(request: pytest.FixtureRequest, new_engine: NewEngine, url: str) -> Engine:
    return new_engine(url, poolclass=request.param)


def kind_of(engine: Engine) -> str:
    return engine.dialect.name


def test_streams_are_kept_by_a_given_engine(pooled: Engine, new_broker: NewBroker, url: str) -> None:
    broker = new_broker("sql:", engine=pooled)
    watch = broker.watch()
    watch.add("news")
    broker.append("news", events("hello"))
    wait_for_bell(watch, "news")
    assert data_of(read_all(new_broker(url), "news")) == ["hello"]


def test_the_databases_own_scheme_may_come_with_an_engine(
    engine: Engine, new_broker: NewBroker, url: str
) -> None:
    new_broker(url, engine=engine).append("news", events("hello"))
    assert data_of(read_all(new_broker("sql:", engine=engine), "news")) == ["hello"]


def test_options_stand_beside_the_engine_in_the_query(engine: Engine, new_broker: NewBroker) -> None:
    broker = new_broker("sql:?history=4", engine=engine)
    for n in range(20):
        broker.append("news", events(str(n)))
    assert data_of(read_all(broker, "news")) == ["16", "17", "18", "19"]


def test_an_engine_that_is_used_by_an_app_and_broker_publishes_within_its_transactions(
    new_engine: NewEngine, new_broker: NewBroker, url: str
) -> None:
    engine = new_engine(url, pool_size=2, max_overflow=0, pool_timeout=1)
    with StreamManager(broker=new_broker("sql:", engine=engine)) as sse, Session(engine) as session:
        sse.send_event("news", "hello", session=session)
        assert texts(sse) == []
        session.commit()
        assert texts(sse) == ["hello"]


def test_the_engine_of_flask_sqlalchemy_serves(url: str, prefix: str) -> None:
    app = Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = with_driver(url)
    db = SQLAlchemy(app)
    with app.app_context():
        app.config["STREAMY_BROKER_URL"] = "sql:"
        app.config["STREAMY_BROKER_OPTIONS"] = {"engine": db.engine, "table_prefix": prefix}
        with StreamManager(app) as sse, sse.subscribe("news") as subscription:
            sse.send_event("news", "within", session=db.session)
            db.session.commit()
            assert next_of(subscription) == "within"
        assert db.session.execute(text("SELECT 1")).scalar() == 1
        db.session.remove()
        db.engine.dispose()


@pytest.mark.parametrize("returned", ["before", "after"])
def test_connections_of_a_pool_that_is_renewed_are_closed_also_those_that_are_lent(
    new_engine: NewEngine, url: str, returned: str
) -> None:
    engine = new_engine(url, poolclass=QueuePool)
    lent = engine.raw_connection()
    driver = lent.driver_connection
    assert driver is not None
    if returned == "before":
        lent.close()
    renew_pool(engine)
    lent.close()
    with pytest.raises(engine.dialect.loaded_dbapi.Error):
        driver.cursor().execute("SELECT 1")
    with engine.connect() as connection:
        kept = connection.connection.driver_connection
    with engine.connect() as connection:
        assert connection.connection.driver_connection is kept


def test_sql_without_an_engine_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match="'engine', a SQLAlchemy Engine"):
        from_url("sql:", {})


@pytest.mark.parametrize("wrong", ["sqlite:///x.db", 3, object(), create_engine])
def test_what_is_no_engine_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="'engine' has to be a SQLAlchemy Engine"):
        from_url("sql:", {"engine": wrong})


def test_an_engine_can_not_be_named_by_a_url() -> None:
    with pytest.raises(ConfigError, match="'engine' has to be a SQLAlchemy Engine"):
        from_url("sql:?engine=mine", {})


def test_an_engine_of_another_kind_of_database_is_refused() -> None:
    engine = create_engine("mssql+pymssql://host/shop", module=NoSuchDriver)
    with pytest.raises(ConfigError, match=r"can't be kept in mssql; they can in sqlite, postgresql"):
        from_url("sql:", {"engine": engine})


class NoSuchDriver(sqlite3.Connection):
    """Stands for a driver of a database that can't be had here; never connected by."""

    paramstyle = "qmark"
    version_info = __version__ = (2, 1)
    Error = sqlite3.Error


def test_an_engine_of_another_kind_than_the_url_is_refused(
    new_engine: NewEngine, url_of: Callable[[str], str], tmp_path: Path
) -> None:
    engine = new_engine(f"sqlite:///{tmp_path}/shop.db")
    with pytest.raises(ConfigError, match="engine"):
        from_url(url_of("postgresql"), {"engine": engine}).close()


def test_an_engine_for_asyncio_is_refused(url_of: Callable[[str], str], prefix: str) -> None:
    engine = create_async_engine(with_driver(url_of("postgresql"))).sync_engine
    with pytest.raises(ConfigError, match=r"(?i)async"):
        from_url("sql:", {"engine": engine, "table_prefix": prefix}).close()


def test_an_engine_of_sqlite_in_memory_is_refused(new_engine: NewEngine) -> None:
    engine = new_engine("sqlite://", poolclass=StaticPool)
    with pytest.raises(ConfigError, match="memory://"):
        from_url("sql:", {"engine": engine})


def test_an_engine_whose_database_is_away_is_waited_for(
    own_server: Callable[..., Server], new_engine: NewEngine, caplog: pytest.LogCaptureFixture
) -> None:
    server = own_server("postgresql")
    engine = new_engine(server.url)
    with caplog.at_level(logging.WARNING, "streamy"), from_url("sql:", {"engine": engine}) as broker:
        assert "can't be reached now" in caplog.text
        server.start()
        broker.append("news", events("hello"))
        assert data_of(read_all(broker, "news")) == ["hello"]


def test_a_given_engine_stays_open_when_the_broker_closes(
    pooled: Engine, new_broker: NewBroker, prefix: str
) -> None:
    with new_broker("sql:", engine=pooled) as broker:
        broker.watch().add("news")
        broker.append("news", events("hello"))
    shop = Shop(pooled, prefix)
    with Session(pooled) as session, session.begin():
        shop.order(session, 7)
    assert shop.orders == [7]


def test_connections_that_the_app_holds_outlive_the_broker(
    pooled: Engine, new_broker: NewBroker, prefix: str
) -> None:
    shop = Shop(pooled, prefix)
    with Session(pooled) as session:
        assert shop.look(session) == []
        with new_broker("sql:", engine=pooled) as broker:
            broker.append("news", events("hello"))
        shop.order(session, 7)
        session.commit()
    assert shop.orders == [7]


def test_the_pools_idle_connections_outlive_the_broker(
    new_engine: NewEngine, new_broker: NewBroker, url: str
) -> None:
    engine = new_engine(url, poolclass=QueuePool, pool_size=1)
    with new_broker("sql:", engine=engine) as broker:
        broker.append("news", events("hello"))
        with engine.connect() as connection:
            used = connection.connection.dbapi_connection
    with engine.connect() as connection:
        assert connection.connection.dbapi_connection is used


LEVELS = {
    "sqlite": ["SERIALIZABLE", "READ UNCOMMITTED"],
    "postgresql": ["READ COMMITTED", "SERIALIZABLE"],
    "mariadb": ["REPEATABLE READ", "SERIALIZABLE"],
    "mysql": ["REPEATABLE READ", "SERIALIZABLE"],
}


@pytest.mark.parametrize(("kind", "level"), [(kind, level) for kind in KINDS for level in LEVELS[kind]])
def test_connections_have_their_isolation_level_again_after_the_broker_had_them(
    new_engine: NewEngine,
    new_broker: NewBroker,
    url_of: Callable[[str], str],
    prefix: str,
    kind: str,
    level: str,
) -> None:
    engine = new_engine(url_of(kind), isolation_level=level, pool_size=1, max_overflow=0, pool_timeout=1)
    with engine.connect() as connection:
        used = connection.connection.dbapi_connection
    broker = new_broker("sql:", engine=engine)
    broker.append("news", events("hello"))
    with engine.connect() as connection:
        assert connection.connection.dbapi_connection is used, "this test watches the wrong connection"
        assert connection.get_isolation_level() == level
    shop = Shop(engine, prefix)
    with Session(engine) as session:
        shop.order(session, 7)
        session.rollback()
    assert shop.orders == [], "a rollback is one still"


SETTINGS = {
    "sqlite": "SELECT * FROM pragma_synchronous",
    "postgresql": "SHOW lock_timeout",
    "mariadb": "SELECT @@innodb_lock_wait_timeout",
    "mysql": "SELECT @@innodb_lock_wait_timeout",
}


def test_the_settings_of_its_connections_are_left_alone(
    new_engine: NewEngine, new_broker: NewBroker, url: str
) -> None:
    engine = new_engine(url, pool_size=1, max_overflow=0)
    ask = text(SETTINGS[kind_of(engine)])
    with engine.connect() as connection:
        before = connection.execute(ask).all()
    new_broker("sql:", engine=engine, timeout=17, synchronous="normal").append("news", events("hello"))
    with engine.connect() as connection:
        assert connection.execute(ask).all() == before


def test_a_pool_of_one_is_enough(new_engine: NewEngine, new_broker: NewBroker, url: str) -> None:
    engine = new_engine(url, pool_size=1, max_overflow=0, pool_timeout=1)
    broker = new_broker("sql:", engine=engine)
    watch = broker.watch()
    for n in range(10):
        name = f"news-{n}"
        watch.add(name)
        broker.append(name, events("hello"))
        assert data_of(read_all(broker, name)) == ["hello"]
        broker.end(name)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    wait_for_bell(watch, "news-0", "news-9")


def test_publishing_within_a_session_takes_no_second_connection(
    new_engine: NewEngine, new_broker: NewBroker, url: str
) -> None:
    engine = new_engine(url, pool_size=1, max_overflow=0, pool_timeout=1)
    broker = new_broker("sql:", engine=engine)
    assert isinstance(broker, AppendsWithin)
    with Session(engine) as session:
        broker.append_within(session, "news", events("hello"))
        session.commit()
    assert data_of(read_all(broker, "news")) == ["hello"]


def test_connections_are_given_back(new_engine: NewEngine, new_broker: NewBroker, url: str) -> None:
    engine = new_engine(url, poolclass=QueuePool, pool_size=3)
    broker = new_broker("sql:", engine=engine)
    with StreamManager(broker=broker) as sse, sse.subscribe("news") as subscription:
        sse.send_event("news", "hello")
        assert next_of(subscription) == "hello"
    pool = engine.pool
    assert isinstance(pool, QueuePool)
    eventually(lambda: pool.checkedout() == 0, "all connections back")


@pytest.fixture
def connections_of(shared: Callable[[str], Server], prefix: str) -> Callable[[], int]:
    """How many connections named by the prefix PostgreSQL has."""
    ask = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{prefix}'"
    return lambda: int(shared("postgresql").execute(ask)[0][0])


def test_the_bell_is_the_only_connection_beside_the_pool_and_goes_with_the_broker(
    new_engine: NewEngine,
    new_broker: NewBroker,
    url_of: Callable[[str], str],
    prefix: str,
    connections_of: Callable[[], int],
) -> None:
    settings = {"application_name": prefix}
    engine = new_engine(url_of("postgresql"), pool_size=1, max_overflow=0, connect_args=settings)
    with new_broker("sql:", engine=engine) as broker:
        watch = broker.watch()
        watch.add("news")
        broker.append("news", events("hello"))
        assert set(watch.wait(DEADLINE)) == {"news"}
        assert connections_of() == 2
    eventually(lambda: connections_of() == 1, "the bell's connection gone")


def test_an_engine_that_begins_transactions_in_its_own_way_gets_tables(
    new_engine: NewEngine, new_broker: NewBroker, tmp_path: Path
) -> None:
    engine = new_engine(f"sqlite:///{tmp_path}/streams.db")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    broker = new_broker("sql:", engine=engine)
    broker.append("news", events("a"))
    assert data_of(read_all(broker, "news")) == ["a"]


def test_a_long_prefix_leaves_a_bell_that_postgresql_can_name(
    shared: Callable[[str], Server], new_manager: NewManager, prefix: str
) -> None:
    sse = new_manager(shared("postgresql").url, table_prefix=f"{prefix}{'x' * 56}"[:56])
    with sse.subscribe("news") as entries:
        sse.send_event("news", "a")
        assert next(entries).event.data == "a"
