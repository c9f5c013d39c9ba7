"""The one table of what drivers' errors mean, held against the errors themselves."""

from __future__ import annotations

import importlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from sqlalchemy import make_url

from streamy_backends.sql.faults import MYSQL, POSTGRESQL, SQLITE, Meaning, meaning_of

from ...support.requirements import go_without
from .servers import Server


class Case(NamedTuple):
    """Statements of which the last fails. `second`: done before that by another connection, left open."""

    meaning: Meaning
    statements: tuple[str, ...]
    second: tuple[str, ...] = ()


PREPARED: Final = (
    "CREATE TABLE {t} (n INT PRIMARY KEY, s VARCHAR(3))",
    "INSERT INTO {t} VALUES (1, 'a')",
    "COMMIT",
)

ON_BOTH: Final = {
    "no such table": Case(Meaning.MISSING_TABLE, ("SELECT * FROM {t}_gone",)),
    "a key twice": Case(Meaning.CONFLICT, ("INSERT INTO {t} VALUES (1, 'b')",)),
}

ON_POSTGRESQL: Final = {
    **ON_BOTH,
    "no such schema": Case(Meaning.MISSING_TABLE, ("CREATE TABLE {t}_gone.x (n INT)",)),
    "a transaction that may not write": Case(
        Meaning.REFUSAL, ("SET TRANSACTION READ ONLY", "INSERT INTO {t} VALUES (2, 'b')")
    ),
    "a lock that is waited for too long": Case(
        Meaning.PASSING,
        ("SET lock_timeout = 50", "UPDATE {t} SET s = 'b'"),
        ("UPDATE {t} SET s = 'c'",),
    ),
    "a statement that takes too long": Case(
        Meaning.PASSING, ("SET statement_timeout = 50", "SELECT pg_sleep(3)")
    ),
    "a change of what was read": Case(
        Meaning.PASSING,
        (
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SELECT 1 FROM {t}",
            "!UPDATE {t} SET s = 'c'",
            "UPDATE {t} SET s = 'b'",
        ),
    ),
    "no right": Case(Meaning.SETUP, ("SET ROLE pg_monitor", "INSERT INTO {t} VALUES (2, 'b')")),
    "wrong syntax": Case(Meaning.DEFECT, ("SELEC 1",)),
    "no such column": Case(Meaning.DEFECT, ("SELECT gone FROM {t}",)),
    "what doesn't fit": Case(Meaning.DEFECT, ("INSERT INTO {t} VALUES (2, 'long')",)),
    "a connection that is ended": Case(Meaning.PASSING, ("SELECT pg_terminate_backend(pg_backend_pid())",)),
}

ON_MYSQL: Final = {
    **ON_BOTH,
    "a transaction that may not write": Case(
        Meaning.REFUSAL, ("START TRANSACTION READ ONLY", "INSERT INTO {t} VALUES (2, 'b')")
    ),
    "a lock that is waited for too long": Case(
        Meaning.PASSING,
        ("SET innodb_lock_wait_timeout = 1", "UPDATE {t} SET s = 'b'"),
        ("UPDATE {t} SET s = 'c'",),
    ),
    "a statement that takes too long": Case(
        Meaning.PASSING, ("SET STATEMENT max_statement_time = 0.05 FOR SELECT n FROM {t} WHERE SLEEP(3)",)
    ),
    "a change of what was read": Case(
        Meaning.PASSING,
        (
            "SET innodb_snapshot_isolation = ON",
            "SELECT 1 FROM {t}",
            "!UPDATE {t} SET s = 'c'",
            "UPDATE {t} SET s = 'b'",
        ),
    ),
    "wrong syntax": Case(Meaning.DEFECT, ("SELEC 1",)),
    "no such column": Case(Meaning.DEFECT, ("SELECT gone FROM {t}",)),
    "what doesn't fit": Case(Meaning.DEFECT, ("INSERT INTO {t} VALUES (2, 'long')",)),
    "a charset that nobody knows": Case(Meaning.SETUP, ("SET NAMES bogus",)),
    "a variable that nobody knows": Case(Meaning.SETUP, ("SET no_such_variable = 1",)),
    "a value that can't be": Case(Meaning.SETUP, ("SET sql_mode = 'bogus'",)),
    "a connection that is ended": Case(Meaning.PASSING, ("KILL CONNECTION_ID()",)),
}

Provoke = Callable[[str, Case], BaseException]


@pytest.fixture
def provoke(shared: Callable[[str], Server], prefix: str) -> Iterator[Provoke]:
    """Has a driver raise the error."""
    with ExitStack() as to_close:

        def connection(driver: str) -> Any:
            at = make_url(shared("postgresql" if driver.startswith("psycopg") else "mariadb").url)
            name = "dbname" if driver.startswith("psycopg") else "database"
            login = {"host": at.host, "port": at.port, "user": at.username, "password": at.password}
            made = importlib.import_module(driver).connect(**login, **{name: at.database})
            to_close.callback(lambda: close_quietly(made))
            return made

        def provoke(driver: str, case: Case) -> BaseException:
            if importlib.util.find_spec(driver) is None:
                go_without(f"{driver} is missing")
            one, other = connection(driver), connection(driver)
            table = f"{prefix}t"
            try:
                for target, statements in ((one, PREPARED), (other, case.second), (one, case.statements)):
                    for statement in statements:
                        if statement == "COMMIT":
                            target.commit()
                            continue
                        db = (other if statement.startswith("!") else target).cursor()
                        db.execute(statement.lstrip("!").format(t=table))
                        if db.description:
                            db.fetchall()
                        db.close()
                        if statement.startswith("!"):
                            other.commit()
                raise AssertionError("nothing was raised")
            except Exception as error:
                if isinstance(error, AssertionError):
                    raise
                return error

        yield provoke


def close_quietly(connection: Any) -> None:
    with suppress(Exception):
        connection.rollback()
    with suppress(Exception):
        connection.close()


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
@pytest.mark.parametrize("case", ON_POSTGRESQL.values(), ids=ON_POSTGRESQL)
def test_what_an_error_of_postgresql_means(provoke: Provoke, driver: str, case: Case) -> None:
    error = provoke(driver, case)
    assert meaning_of(error, POSTGRESQL).meaning is case.meaning, repr(error)


@pytest.mark.parametrize("driver", ["pymysql", "MySQLdb"])
@pytest.mark.parametrize("case", ON_MYSQL.values(), ids=ON_MYSQL)
def test_what_an_error_of_mariadb_means(provoke: Provoke, driver: str, case: Case) -> None:
    error = provoke(driver, case)
    assert meaning_of(error, MYSQL).meaning is case.meaning, repr(error)


def test_what_an_error_of_sqlite_means(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    with (
        closing(sqlite3.connect(file, timeout=0.05)) as one,
        closing(sqlite3.connect(file, timeout=0)) as two,
    ):
        one.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, s TEXT)")
        one.execute("INSERT INTO t VALUES (1, 'a')")
        one.commit()
        assert meaning_in(one, "SELECT * FROM gone") is Meaning.MISSING_TABLE
        assert meaning_in(one, "INSERT INTO t VALUES (1, 'b')") is Meaning.CONFLICT
        assert meaning_in(one, "SELEC 1") is Meaning.PASSING  # which sqlite3 doesn't tell from others
        assert meaning_in(one, "SELECT * FROM gone.t") is Meaning.MISSING_TABLE
        assert meaning_in(one, "PRAGMA gone.journal_mode") is Meaning.OPENING
        one.rollback()
        two.execute("BEGIN IMMEDIATE")
        assert meaning_in(one, "BEGIN IMMEDIATE") is Meaning.PASSING
        two.rollback()
        one.execute("PRAGMA max_page_count = 2")
        assert meaning_in(one, "INSERT INTO t VALUES (2, zeroblob(100000))") is Meaning.PASSING
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as reading:
        assert meaning_in(reading, "INSERT INTO t VALUES (3, 'a')") is Meaning.OPENING
    (tmp_path / "text").write_text("no database\n" * 100)
    with closing(sqlite3.connect(tmp_path / "text")) as text:
        assert meaning_in(text, "SELECT * FROM t") is Meaning.OPENING
    with pytest.raises(sqlite3.OperationalError) as raised:
        sqlite3.connect(tmp_path / "nowhere" / "x.db")
    assert meaning_of(raised.value, SQLITE).meaning is Meaning.OPENING


def meaning_in(connection: sqlite3.Connection, sql: str) -> Meaning:
    with pytest.raises(sqlite3.Error) as raised:
        connection.execute(sql)
    return meaning_of(raised.value, SQLITE).meaning


@pytest.mark.parametrize("driver", ["pymysql", "MySQLdb"])
def test_a_server_without_room_is_no_wrong_setup(shared: Callable[[str], Server], driver: str) -> None:
    at = make_url(shared("mariadb").url)
    login = {"host": at.host, "user": at.username, "password": at.password, "port": at.port}
    module = importlib.import_module(driver)
    with pytest.raises(module.Error) as wrong:
        module.connect(**{**login, "password": "wrong"})
    assert meaning_of(wrong.value, MYSQL).meaning is Meaning.OPENING
    with pytest.raises(module.Error) as away:
        module.connect(**{**login, "port": 1})
    assert meaning_of(away.value, MYSQL).meaning is Meaning.PASSING


def test_a_login_that_needs_another_package_says_which() -> None:
    if importlib.util.find_spec("cryptography") is not None:
        pytest.skip("cryptography is installed")
    from pymysql._auth import sha2_rsa_encrypt  # what caching_sha2_password is done by

    with pytest.raises(RuntimeError) as raised:
        sha2_rsa_encrypt(b"x", b"x", b"x")
    fault = meaning_of(raised.value, MYSQL)
    assert fault.meaning is Meaning.SETUP
    assert "pip install cryptography" in fault.cure
