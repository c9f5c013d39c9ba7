"""Databases that can't be used, logins, missing drivers: what is said of them, and what never is."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from sqlalchemy.orm import Session

from streamy_backends.sql import from_url
from streamy_core import BrokerUnavailable, ConfigError, StreamManager, StreamyError
from streamy_core.testing.reading import DEADLINE, data_of, events, read_all

from ...support.ports import free_port
from ..conftest import NewBroker
from .conftest import NewEngine, with_driver
from .servers import Server, without_roots_rights

pytestmark = pytest.mark.slow

SECRET: Final = "p@ss:/?#[]%&=+ $"
"""Every character that means something in a URL."""

SERVER_KINDS: Final = ("postgresql", "mariadb")


@pytest.fixture(params=SERVER_KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def server(shared: Callable[[str], Server], kind: str) -> Server:
    return shared(kind)


@pytest.fixture
def user(server: Server, kind: str, prefix: str) -> Iterator[str]:
    """A user who may do everything, and whose password is SECRET."""
    name = f"{prefix}@ü:/%"
    if kind == "postgresql":
        server.execute(f"CREATE ROLE \"{name}\" SUPERUSER LOGIN PASSWORD '{SECRET}'")
        yield name
    else:
        server.execute(f"GRANT ALL ON *.* TO '{name}'@'%' IDENTIFIED BY '{SECRET}'")
        yield name
        server.execute(f"DROP USER '{name}'@'%'")


def as_user(server: Server, user: str, password: str = SECRET) -> str:
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return re.sub(r"//.*@", lambda _: f"//{login}@", server.url)


def assert_hidden(*texts: object) -> None:
    for text in map(str, texts):
        for form in (SECRET, quote(SECRET, safe=""), quote(SECRET), "p@ss", "p%40ss"):
            assert form not in text


def everything_in(error: BaseException) -> list[str]:
    """What the error and all that led to it say."""
    said = []
    at: BaseException | None = error
    while at is not None:
        said += [str(at), repr(at)]
        at = at.__cause__
    return said


def test_a_login_stands_in_the_url_and_is_percent_encoded(
    server: Server, kind: str, user: str, new_broker: NewBroker
) -> None:
    broker: Any = new_broker(as_user(server, user))
    broker.append("news", events("hello"))
    assert data_of(read_all(broker, "news")) == ["hello"]
    with broker._database.autocommit("ask") as db:
        db.execute(
            "SELECT current_user" if kind == "postgresql" else "SELECT substring_index(user(), '@', 2)"
        )
        assert db.fetchone()[0] == user


def test_a_password_may_go_beyond_ascii(
    server: Server, kind: str, prefix: str, new_broker: NewBroker
) -> None:
    secret = "ü\u20ac\U0001f600"
    if kind == "postgresql":
        server.execute(f"CREATE ROLE {prefix} SUPERUSER LOGIN PASSWORD '{secret}'")
    else:
        server.execute(f"GRANT ALL ON *.* TO '{prefix}'@'%' IDENTIFIED BY '{secret}'")
    new_broker(as_user(server, prefix, secret)).append("news", events("hello"))


def test_a_login_that_is_refused_says_so_without_the_password(
    server: Server, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(ConfigError, match=prefix) as refused:
        from_url(as_user(server, prefix), {})
    assert_hidden(*everything_in(refused.value), caplog.text)


def test_a_database_that_is_not_there_is_named_without_the_password(server: Server, user: str) -> None:
    url = as_user(server, user).rpartition("/")[0] + "/no_such_database"
    with pytest.raises(ConfigError, match="no_such_database") as refused:
        from_url(url, {})
    assert_hidden(*everything_in(refused.value))


def test_a_password_is_in_no_message_about_a_server_that_is_away(
    kind: str, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{kind}://{prefix}:{quote(SECRET, safe='')}@127.0.0.1:{free_port()}/shop"
    with caplog.at_level(logging.DEBUG), from_url(url, {"timeout": 1}) as broker:
        with pytest.raises(BrokerUnavailable) as away:
            broker.append("news", events("hello"))
        assert_hidden(repr(broker), broker)
    assert "can't be reached now" in caplog.text
    assert_hidden(*everything_in(away.value), caplog.text)


def test_a_password_is_in_no_message_about_the_tables(
    server: Server, user: str, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"table_prefix": prefix, "create_tables": False}
    with caplog.at_level(logging.DEBUG), from_url(as_user(server, user), options) as broker:
        with pytest.raises(ConfigError) as missing:
            broker.append("news", events("hello"))
        assert_hidden(*everything_in(missing.value), repr(broker), caplog.text)


def test_a_password_is_in_no_message_about_a_session_of_another_database(
    server: Server, user: str, prefix: str, new_broker: NewBroker, new_engine: NewEngine
) -> None:
    elsewhere = server.new_database(prefix)
    new_broker(elsewhere)
    with (
        StreamManager(broker=new_broker(as_user(server, user))) as sse,
        Session(new_engine(elsewhere)) as session,
        pytest.raises(StreamyError) as refused,
    ):
        sse.send_event("news", "never", session=session)
    assert_hidden(*everything_in(refused.value))


@pytest.mark.parametrize("url", ["postgresql://user:p@ss:/?#[]%@host/x", "mysql://user:p@ss/w:x@host:many/x"])
def test_a_login_that_is_not_encoded_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        from_url(url, {})
    assert "p@ss" not in "".join(everything_in(refused.value))


def test_an_engines_password_is_in_no_message(
    new_engine: NewEngine, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"postgresql://user:{quote(SECRET, safe='')}@127.0.0.1:{free_port()}/shop"
    engine = new_engine(url)
    with (
        caplog.at_level(logging.WARNING),
        from_url("sql:", {"engine": engine}) as broker,
        pytest.raises(BrokerUnavailable) as away,
    ):
        broker.append("news", events("hello"))
    assert_hidden(*everything_in(away.value), caplog.text)


def test_a_user_who_may_make_no_tables_is_told_so(server: Server, kind: str, prefix: str) -> None:
    if kind == "postgresql":
        server.execute(f"CREATE ROLE {prefix} LOGIN PASSWORD 'x'")
    else:
        server.execute(f"GRANT SELECT ON {server.home}.* TO {prefix}@'%' IDENTIFIED BY 'x'")
    with pytest.raises(ConfigError, match="denied"):
        from_url(as_user(server, prefix, "x"), {"table_prefix": prefix}).close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite+pysqlite://"])
def test_sqlite_in_memory_is_refused_with_what_serves_instead(url: str) -> None:
    with pytest.raises(ConfigError, match=r"memory://"):
        from_url(url, {})


@pytest.mark.parametrize("url", ["sqlite:///file::memory:?uri=true", "sqlite:///file:x?mode=memory&uri=true"])
def test_sqlite_in_memory_by_a_file_uri_is_refused_too(url: str) -> None:
    with pytest.raises(ConfigError, match=r"memory://"):
        from_url(url, {})


@pytest.mark.parametrize("kind", SERVER_KINDS)
@pytest.mark.parametrize("path", ["", "/"])
def test_a_server_without_a_database_is_refused(kind: str, path: str) -> None:
    with pytest.raises(ConfigError, match=f"names no database: {kind}://host/database"):
        from_url(f"{kind}://host{path}", {})


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.*unable to open database file"):
        from_url(f"sqlite:///{tmp_path}/nowhere/streams.db", {})


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unable to open database file"):
        from_url(f"sqlite:///{tmp_path}", {})


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("no database at all\n" * 500)
    with pytest.raises(ConfigError, match="file is not a database"):
        from_url(f"sqlite:///{file}", {})
    assert file.read_text() == "no database at all\n" * 500


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_file_that_may_only_be_read_is_refused(tmp_path: Path, journal: str) -> None:
    file = tmp_path / "streams.db"
    if journal == "wal":
        from_url(f"sqlite:///{file}", {}).close()
    else:
        file.touch()
    file.chmod(0o444)
    tmp_path.chmod(0o555)
    program = "import sys; from streamy_backends.sql import from_url; from_url(sys.argv[1], {})"
    told = subprocess.run(
        [*without_roots_rights(), sys.executable, "-c", program, f"sqlite:///{file}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    tmp_path.chmod(0o755)
    assert re.search(r"ConfigError: .*(readonly database|unable to open)", told.stderr), told.stderr


def test_an_empty_file_that_is_opened_to_be_read_only_is_refused(tmp_path: Path) -> None:
    (tmp_path / "streams.db").touch()
    with pytest.raises(ConfigError, match="readonly database"):
        from_url(f"sqlite:///file:{tmp_path}/streams.db?mode=ro&uri=true", {})


def test_a_file_that_is_opened_to_be_read_only_is_read_and_says_why_it_takes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "streams.db"
    with from_url(f"sqlite:///{file}", {}) as writer:
        writer.append("news", events("hello"))
    with from_url(f"sqlite:///file:{file}?mode=ro&uri=true", {}) as reader:
        assert data_of(read_all(reader, "news")) == ["hello"]
        with pytest.raises(StreamyError, match="readonly database"):
            reader.append("news", events("never"))


WITHOUT: Final = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""


def run_without(module: str, code: str) -> str:
    """What this code prints in a process that lacks a module."""
    script = WITHOUT.format(module) + code
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=6 * DEADLINE, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


OPEN: Final = """
from streamy_core import BackendUnusable
from streamy_core.plugins import open_broker
try:
    open_broker("{}")
except BackendUnusable as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("module", "url", "extra"),
    [
        ("psycopg", "postgresql://user:hunter2@host/shop", "postgresql"),
        ("psycopg", "postgres://user:hunter2@host/shop", "postgresql"),
        ("pymysql", "mysql://user:hunter2@host/shop", "mysql"),
        ("pymysql", "mariadb://user:hunter2@host/shop", "mysql"),
        ("sqlalchemy", "postgresql://user:hunter2@host/shop", "sql"),
        ("sqlalchemy", "sqlite:///streams.db", "sql"),
        ("sqlalchemy", "sql:", "sql"),
    ],
)
def test_without_its_driver_a_database_says_which_and_the_line_that_installs_it(
    module: str, url: str, extra: str
) -> None:
    said = run_without(module, OPEN.format(url))
    assert re.search(rf"needs a driver .*'{module}'; pip install 'streamy-sse\[{extra}\]'", said), said
    assert "hunter2" not in said


@pytest.mark.parametrize("module", ["psycopg", "pymysql"])
def test_without_the_other_drivers_sqlite_works(module: str, tmp_path: Path) -> None:
    assert run_without(module, f"""
from streamy_core import Event
from streamy_core.plugins import open_broker
with open_broker("sqlite:///{tmp_path}/streams.db") as broker:
    print(len(broker.append("news", [Event("hello")])))
""") == "1\n"  # fmt: skip


def test_without_sqlalchemy_other_backends_work_and_all_are_listed() -> None:
    said = run_without("sqlalchemy", """
from streamy_core import Event
from streamy_core.plugins import open_broker
with open_broker("memory://") as broker:
    broker.append("news", [Event("hello")])
from streamy_core.cli import main
main(["backends"])
""")  # fmt: skip
    assert re.search(r"^ *memory ", said, re.MULTILINE), said
    assert re.search(r"^ *postgresql ", said, re.MULTILINE), said
    assert "broken" not in said


def test_a_plug_in_that_is_only_found_imports_neither_sqlalchemy_nor_a_driver() -> None:
    said = run_without("nothing", """
from streamy_core.plugins import find_backends
import streamy_backends.sql
loaded = lambda: [name for name in ("sqlalchemy", "psycopg", "pymysql") if name in sys.modules]
print("sqlite" in {backend.scheme for backend in find_backends()}, loaded())
from streamy_backends.sql import add_tables
print(add_tables.__name__, loaded())
""")  # fmt: skip
    assert said == "True []\nadd_tables ['sqlalchemy']\n"


def test_what_the_package_has_not_is_missing() -> None:
    with pytest.raises(ImportError, match="cannot import name 'no_such_thing'"):
        from streamy_backends.sql import no_such_thing  # type: ignore[attr-defined]  # noqa: F401


def test_with_driver_gives_what_sqlalchemy_takes() -> None:
    assert with_driver("postgres://host/shop") == "postgresql+psycopg://host/shop"
