"""What is set up wrongly is named at start with what mends it, and is never called an outage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from streamy_backends.sql import from_url
from streamy_core import ConfigError
from streamy_core.testing.reading import data_of, events, read_all, wait_for_bell

from ...support.certificates import make_certificate
from ..conftest import NewBroker, NewManager
from .conftest import NewEngine, OwnServer
from .servers import Server, pooler_of_transactions
from .shop import texts

AT_ONCE: Final = 4.0
"""Seconds."""

WRONG: Final = [
    ("postgresql", "sslmode=require", "does not support SSL.*ssl = on"),
    ("postgresql", "sslmode=bogus", "sslmode.*bogus.*libpq-connect"),
    ("postgresql", "target_session_attrs=bogus", "target_session_attrs.*bogus.*libpq-connect"),
    ("postgresql", "target_session_attrs=read-only", "target_session_attrs=read-write"),
    ("postgresql", "channel_binding=bogus", "channel_binding.*bogus.*libpq-connect"),
    ("postgresql", "connect_timeout=soon", "soon"),
    ("postgresql", "no_such_parameter=1", "no_such_parameter"),
    ("postgresql+psycopg2", "sslmode=require", "does not support SSL.*ssl = on"),
    ("postgresql+psycopg2", "sslmode=bogus", "sslmode.*bogus.*libpq-connect"),
    ("postgresql+psycopg2", "no_such_parameter=1", "no_such_parameter"),
    ("mariadb", "ssl_ca=/nonexistent/ca.pem", "FileNotFoundError.*path of a file"),
    (
        "mariadb",
        "ssl_cert=/nonexistent/cert.pem&ssl_key=/nonexistent/key.pem",
        "FileNotFoundError.*path of a file",
    ),
    ("mariadb", "ssl_cert_reqs=required", "ssl_cert_reqs"),
    ("mariadb", "ssl_cert_reqs=2", "ssl_cert_reqs"),
    ("mariadb", "ssl_mode=REQUIRED", "ssl_mode"),
    ("mariadb", "charset=bogus&collation=bogus", "bogus"),
    ("mariadb", "read_timeout=soon", "soon"),
    ("mariadb", "init_command=SET%20no_such_variable=1", "no_such_variable"),
]


@pytest.mark.parametrize(("scheme", "query", "told"), WRONG)
def test_what_the_url_says_wrongly_is_refused_at_start_with_what_mends_it(
    url_of: Callable[[str], str], scheme: str, query: str, told: str
) -> None:
    kind = scheme.partition("+")[0]
    began = time.monotonic()
    with pytest.raises(ConfigError, match=f"(?s){told}") as refused:
        from_url(f"{url_of(kind).replace(kind, scheme, 1)}?{query}", {}).close()
    assert time.monotonic() - began < AT_ONCE
    assert "secret" not in str(refused.value)


def test_a_server_without_tls_is_told_from_one_that_is_away(
    url_of: Callable[[str], str], tmp_path: Path
) -> None:
    certificate = make_certificate(tmp_path)
    with pytest.raises(ConfigError, match=r"(?s)SSL.*switch TLS on at the server"):
        from_url(f"{url_of('mariadb')}?ssl_ca={certificate}", {}).close()


@pytest.fixture
def tls(own_server: OwnServer, tmp_path: Path) -> Server:
    """A PostgreSQL server that does TLS."""
    make_certificate(tmp_path)
    (tmp_path / "key.pem").chmod(0o600)
    files = ("-c", f"ssl_cert_file={tmp_path}/certificate.pem", "-c", f"ssl_key_file={tmp_path}/key.pem")
    return own_server("postgresql", "-c", "ssl=on", *files).start()


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg2"])
def test_certificates_that_are_missing_or_wrong_are_a_wrong_setup(
    tls: Server, tmp_path: Path, scheme: str, new_broker: NewBroker
) -> None:
    url = f"{tls.url.replace('postgresql', scheme, 1)}?sslmode=verify-ca&sslrootcert="
    (tmp_path / "other").mkdir()
    make_certificate(tmp_path / "other")
    for wrong in ("/nonexistent/ca.pem", f"{tmp_path}/other/certificate.pem"):
        with pytest.raises(ConfigError, match=r"(?s)certificate.*path of a file"):
            new_broker(f"{url}{wrong}")
    new_broker(f"{url}{tmp_path}/certificate.pem").append("news", events("a"))


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_can_not_hold_every_text_is_refused(
    shared: Callable[[str], Server], prefix: str, encoding: str
) -> None:
    server = shared("postgresql")
    server.execute(f"CREATE DATABASE {prefix} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(ConfigError, match=f"encoding is {encoding}.*ENCODING 'UTF8'"):
        from_url(server.url_of(prefix), {}).close()


RIGHTS: Final = {
    "INSERT on entries": "REVOKE INSERT ON {entries} FROM {user}",
    "UPDATE on streams": "REVOKE UPDATE ON {streams} FROM {user}",
    "INSERT on keys": "REVOKE INSERT ON {keys} FROM {user}",
    "DELETE on entries": "REVOKE DELETE ON {entries} FROM {user}",
}


@pytest.mark.parametrize("taken", RIGHTS.values(), ids=RIGHTS)
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_right_that_is_missing_is_found_at_start(
    shared: Callable[[str], Server], prefix: str, new_broker: NewBroker, kind: str, taken: str
) -> None:
    server = shared(kind)
    new_broker(server.url)
    user = f"{prefix}web"
    host = "" if kind == "postgresql" else "@'%'"
    password = "PASSWORD 'x'" if kind == "postgresql" else "IDENTIFIED BY 'x'"
    server.execute(f"CREATE USER {user}{host} {password}")
    tables = {name: f"{prefix}{name}" for name in ("streams", "entries", "keys", "meta")}
    for table in tables.values():
        server.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {user}{host}")
    own = server.url.replace("streamy:secret" if kind == "postgresql" else "root:secret", f"{user}:x")
    new_broker(own).append("news", events("a"))
    server.execute(taken.format(user=user + host, **tables))
    with pytest.raises(ConfigError, match=r"(?s)denied.*GRANT SELECT, INSERT, UPDATE, DELETE"):
        new_broker(own)


def test_what_is_tried_at_start_leaves_nothing(url: str, new_broker: NewBroker) -> None:
    broker: Any = new_broker(url)
    assert list(broker.streams()) == []
    with broker._database.autocommit("count") as db:
        for table in ("streams", "entries", "keys"):
            db.execute(broker._database.dialect.render(f"SELECT COUNT(*) FROM {{{table}}}"))
            assert db.fetchone()[0] == 0


def test_a_binary_log_of_statements_is_refused_with_what_mends_it(own_server: OwnServer) -> None:
    server = own_server("mariadb", "--log-bin=log", "--binlog-format=STATEMENT", "--server-id=1").start()
    with pytest.raises(ConfigError, match=r"1665.*binlog_format = ROW"):
        from_url(server.url, {}).close()
    server.execute("SET GLOBAL binlog_format = ROW")
    with from_url(server.url, {}) as broker:
        broker.append("news", events("a"))


def test_old_row_formats_and_modes_of_the_server_do_no_harm(own_server: OwnServer) -> None:
    server = own_server(
        "mariadb", "--innodb-default-row-format=COMPACT", "--sql-mode=ORACLE,EMPTY_STRING_IS_NULL"
    ).start()
    with from_url(server.url, {}) as broker:
        broker.append("news", events("", "a"))
        assert data_of(read_all(broker, "news")) == ["", "a"]


def test_a_session_to_which_empty_text_is_null_is_told_so(
    url_of: Callable[[str], str], new_manager: NewManager, new_engine: NewEngine
) -> None:
    sse, engine = new_manager(url_of("mariadb")), new_engine(url_of("mariadb"))
    with Session(engine) as session:
        session.execute(text("SET SESSION sql_mode = 'EMPTY_STRING_IS_NULL'"))
        with pytest.raises(ConfigError, match="take EMPTY_STRING_IS_NULL out"):
            sse.send_event("news", "a", session=session)


def test_a_session_of_two_phases_is_told_what_it_needs(
    own_server: OwnServer, new_manager: NewManager, new_engine: NewEngine
) -> None:
    server = own_server("postgresql", "-c", "max_prepared_transactions=5").start()
    engine = new_engine(server.url)
    with Session(engine, twophase=True) as session, pytest.raises(ConfigError, match="notify=false"):
        new_manager(server.url).send_event("news", "never", session=session)
    quiet = new_manager(server.url, notify=False)
    with Session(engine, twophase=True) as session:
        quiet.send_event("news", "a", session=session)
        session.commit()
    assert texts(quiet) == ["a"]


@pytest.fixture
def pgbouncer(shared: Callable[[str], Server], tmp_path: Path) -> Iterator[str]:
    """The URL of a pooler of transactions before the server."""
    with pooler_of_transactions(shared("postgresql"), tmp_path) as url:
        yield url


def test_a_pooler_of_transactions_says_which_option_it_needs_and_serves_with_it(
    pgbouncer: str, new_broker: NewBroker, new_manager: NewManager, new_engine: NewEngine
) -> None:
    with pytest.raises(ConfigError, match="notify=false"):
        new_broker(pgbouncer)
    broker = new_broker(pgbouncer, notify=False)
    watch = broker.watch()
    watch.add("news")
    sse = new_manager(pgbouncer, notify=False)
    sse.send_event("news", "a")
    with Session(new_engine(pgbouncer, connect_args={"prepare_threshold": None})) as session:
        sse.send_event("news", "b", session=session)
        session.commit()
    wait_for_bell(watch, "news")
    assert data_of(read_all(broker, "news")) == ["a", "b"]
    watch.close()
