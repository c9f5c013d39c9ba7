"""The guide to databases says what is so, and its examples work on real ones."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine, create_engine, event, make_url, text

from streamy_backends.sql import from_url
from streamy_backends.sql.options import DRIVERS, Options
from streamy_core import GAP, OLDEST, BrokerUnavailable, ConfigError, PublishFailed, StreamManager
from streamy_core.broker import ListsStreams
from streamy_core.options import option_names
from streamy_core.strategies import NoRetry
from streamy_core.testing.reading import DEADLINE, data_of, events, read_all
from tests.backends.sql.conftest import KINDS, server_in
from tests.backends.sql.servers import Server
from tests.support.process import stopped_in_the_end

from .reader import messages_in

if TYPE_CHECKING:
    from .conftest import Load, Serve

pytestmark = pytest.mark.slow

SERVERS = [kind for kind in KINDS if kind != "sqlite"]

Example = Callable[[str, str], ModuleType]
NewUrl = Callable[[str], str]

_numbers = itertools.count()


@pytest.fixture(scope="module")
def started() -> Iterator[dict[str, Server]]:
    with stopped_in_the_end() as servers:
        yield servers


@pytest.fixture
def new_url(started: dict[str, Server], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> NewUrl:
    """The URL of an empty database of this kind, as the guide writes it: with its driver."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/app.db"
        if kind not in started:
            started[kind] = server_in(kind, tmp_path_factory.mktemp(kind)).start()
        url = started[kind].new_database(f"guide{next(_numbers)}")
        return url.replace(kind, DRIVERS[kind], 1)

    return make


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, new_url: NewUrl) -> str:
    return new_url(request.param)


@pytest.fixture
def example(load: Load, monkeypatch: pytest.MonkeyPatch) -> Iterator[Example]:
    """Loads an example by its name, on the database of this URL."""
    loaded: list[ModuleType] = []

    def make(name: str, url: str) -> ModuleType:
        monkeypatch.setenv("DATABASE_URL", url)
        loaded.append(load(name))
        return loaded[-1]

    yield make
    for module in loaded:
        module.sse.close()
        with module.app.app_context():
            module.db.session.remove()
            module.db.engine.dispose()


def run(folder: Path, *command: str) -> None:
    """Have a Python module do this."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def do(url: str, sql: str) -> None:
    """Do what a file of SQL says in the database of this URL."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in filter(str.strip, sql.split(";")):
            connection.execute(text(statement))
    engine.dispose()


def test_every_client_of_every_worker_gets_what_is_sent_in_a_transaction(
    gunicorn: Serve, docs: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    run(docs / "examples", "flask", "--app", "database_app", "create-tables")
    address = gunicorn("database_app:app", workers=2)
    with ExitStack() as stack:
        clients = [
            stack.enter_context(urllib.request.urlopen(f"{address}/stream", timeout=DEADLINE))
            for _ in range(8)
        ]
        for number in range(4):
            form = urllib.parse.urlencode({"text": f"message {number}"}).encode()
            with urllib.request.urlopen(f"{address}/send", form, DEADLINE) as answer:
                last = answer.read().decode().strip()
        for client in clients:
            seen = b""
            while f"id: {last}\n".encode() not in seen or not seen.endswith(b"}\n\n"):
                seen += client.readline()
            told = messages_in(seen)
            assert told == [{"id": n + 1, "text": f"message {n}"} for n in range(4)]


def test_a_rollback_of_the_app_leaves_nothing_not_even_a_hole(example: Example, url: str) -> None:
    module = example("database_app", url)
    with module.app.app_context():
        module.db.create_all()
        first = module.sse.send_event("messages", "kept", session=module.db.session)
        module.db.session.commit()
        module.sse.send_event("messages", "thrown away", session=module.db.session)
        module.db.session.rollback()
        client = module.app.test_client()
        second = client.post("/send", data={"text": "kept, too"}).text.strip()
    assert [entry.id for entry in read_all(module.sse.broker, "messages")] == [first, second]
    assert [int(sent.split(".")[1]) for sent in (first, second)] == [1, 2]


def test_nobody_sees_the_event_before_the_commit(example: Example, url: str) -> None:
    module = example("database_app", url)
    with module.app.app_context(), module.sse.subscribe("messages") as entries:
        sent = module.sse.send_event("messages", "x", session=module.db.session)
        assert entries.next(timeout=0.3) is None
        module.db.session.commit()
        entry = entries.next(timeout=DEADLINE)
        assert entry
        assert entry.id == sent


def test_a_publish_without_the_session_waits_for_its_own_transaction_in_vain(
    example: Example, url: str
) -> None:
    module = example("database_app", url)
    options = {"timeout": 0.5}
    impatient = StreamManager(broker=url, name="impatient", broker_options=options, retry=NoRetry())
    with module.app.app_context(), impatient:
        module.sse.send_event("messages", "x", session=module.db.session)
        with pytest.raises(PublishFailed):
            impatient.send_event("messages", "y")
        module.db.session.commit()
        assert impatient.send_event("messages", "y")


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_transactions_that_begin_different_streams_do_not_wait_for_each_other(
    kind: str, new_url: NewUrl
) -> None:
    url = new_url(kind)
    settings = {"postgresql": "SET lock_timeout = '1s'", "mariadb": "SET innodb_lock_wait_timeout = 1"}
    engine = create_engine(url)
    try:
        with StreamManager(broker=url) as sse, engine.connect() as one, engine.connect() as other:
            for connection in (one, other):
                connection.execute(text(settings[kind]))
            sse.send_event("a", "x", session=one)
            sse.send_event("b", "x", session=other)
            other.commit()
            one.commit()
    finally:
        engine.dispose()


@pytest.mark.parametrize("has_tables", [True, False])
def test_a_session_of_another_database_is_refused(
    has_tables: bool, example: Example, new_url: NewUrl, tmp_path: Path
) -> None:
    module = example("database_app", new_url("sqlite"))
    other = f"sqlite:///{tmp_path}/other.db"
    if has_tables:
        from_url(other, {}).close()
    engine = create_engine(other)
    try:
        with engine.connect() as connection, pytest.raises(ConfigError):
            module.sse.send_event("messages", "x", session=connection)
    finally:
        engine.dispose()


def test_the_app_may_share_its_engine(example: Example, url: str) -> None:
    module = example("database_shared", url)
    with module.app.app_context():
        assert module.sse.broker._database.engine is module.db.engine
        module.sse.send_event("news", "by itself")
        module.sse.send_event("news", "in a transaction", session=module.db.session)
        module.db.session.commit()
        assert data_of(read_all(module.sse.broker, "news")) == ["by itself", "in a transaction"]
        module.sse.close()
        assert module.db.session.execute(text("SELECT 1")).scalar() == 1


def read_then_publish(engine: Engine, sse: StreamManager) -> None:
    """Another tries to write between the two."""
    sse.send_event("news", "before")
    with engine.connect() as connection:
        connection.execute(text("SELECT * FROM streamy_streams")).all()
        other = from_url(engine.url.render_as_string(), {"timeout": 0.1})
        with closing(other), suppress(BrokerUnavailable):
            other.append("other", events("x"))
        sse.send_event("news", "x", session=connection)
        connection.commit()


@pytest.fixture
def sqlite(new_url: NewUrl) -> Iterator[tuple[Engine, StreamManager]]:
    url = new_url("sqlite")
    engine = create_engine(url)
    with StreamManager(broker=url) as sse:
        yield engine, sse
    engine.dispose()


def test_on_sqlite_an_engine_of_the_default_kind_may_read_before_it_publishes(
    sqlite: tuple[Engine, StreamManager],
) -> None:
    read_then_publish(*sqlite)


def test_on_sqlite_an_engine_that_begins_before_it_reads_may_find_it_locked(
    sqlite: tuple[Engine, StreamManager],
) -> None:
    engine, sse = sqlite
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    with pytest.raises(PublishFailed) as failed:
        read_then_publish(engine, sse)
    assert "database is locked" in str(failed.value.__cause__)


def test_on_sqlite_begin_immediate_lets_an_app_read_before_it_publishes(
    sqlite: tuple[Engine, StreamManager], load: Load
) -> None:
    engine, sse = sqlite
    load("database_immediate").begin_immediate(engine)
    read_then_publish(engine, sse)


def run_as_printed(docs: Path, beginning: str, folder: Path, url: str) -> Iterator[str]:
    """Have a shell do the guide's lines of the section that begins so, in a folder that has the examples.

    Gives each before it is done.
    """
    page = (docs / "how-to" / "use-a-database.md").read_text("utf-8")
    section = page.partition(f"\n{beginning}")[2].partition("\n#")[0]
    steps = "".join(re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)).splitlines()
    shutil.copytree(docs / "examples", folder, dirs_exist_ok=True)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"DATABASE_URL": url, "PATH": programs, "PYTHONDONTWRITEBYTECODE": "1"}
    for step in steps:
        yield step
        done = subprocess.run(
            step, shell=True, cwd=folder, env={**os.environ, **own}, capture_output=True, text=True
        )
        assert done.returncode == 0, step + done.stdout + done.stderr


def test_alembic_makes_the_tables_with_the_apps_own(
    example: Example, url: str, docs: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "app"
    done = []
    for step in run_as_printed(docs, "**By migrations.**", folder, url):
        done.append(step.split()[-1])
        if "revision" in step:
            shutil.copy(docs / "examples" / "alembic_env.py", folder / "migrations" / "env.py")
    assert done == ["migrations", '"streams"', "head"]
    run_all = {**os.environ, "DATABASE_URL": url, "PYTHONPATH": str(folder)}
    check = [sys.executable, "-m", "alembic", "check"]
    subprocess.run(check, cwd=folder, env=run_all, check=True, capture_output=True)


def test_flask_migrate_leaves_the_tables_alone(
    example: Example, url: str, docs: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "app"
    module = example("database_flask_migrate", url)
    sent = module.sse.send_event("news", "x")
    assert [
        step.split()[4] for step in run_as_printed(docs, "### Beside Flask-Migrate and Alembic", folder, url)
    ] == [
        "init",
        "migrate",
        "upgrade",
    ]
    (migration,) = (folder / "migrations" / "versions").glob("*.py")
    assert "create_table('message'" in migration.read_text()
    assert "streamy" not in migration.read_text()
    assert [entry.id for entry in read_all(module.sse.broker, "news")] == [sent]


def test_an_app_that_may_not_make_tables_starts_and_publishes_once_a_command_has_made_them(
    example: Example, url: str, docs: Path
) -> None:
    module = example("database_migrated", url)
    with pytest.raises(ConfigError, match="init-db"):
        module.sse.send_event("news", "x")
    run(docs / "examples", "flask", "--app", "database_migrated", "streamy", "init-db")
    assert module.sse.send_event("news", "x").split(".")[1] == "1"


@pytest.mark.parametrize("kind", SERVERS)
def test_the_rights_of_the_guide_are_enough(kind: str, new_url: NewUrl, docs: Path) -> None:
    url = new_url(kind)
    from_url(url, {}).close()  # makes the tables
    user = f"web{next(_numbers)}"
    grants = (docs / "examples" / "database_user.sql").read_text().replace("TO web", f"TO {user}")
    password = "PASSWORD" if kind == "postgresql" else "IDENTIFIED BY"
    do(url, f"CREATE USER {user} {password} 'secret'; {grants}")
    own = make_url(url).set(username=user, password="secret").render_as_string(hide_password=False)
    with StreamManager(broker=own, broker_options={"history": 8}, retry=NoRetry()) as sse:
        assert isinstance(sse.broker, ListsStreams)
        with sse.subscribe("news") as entries:
            for number in range(40):
                sse.send_event("news", str(number), idempotency_key=str(number // 2))
            assert entries.next(timeout=DEADLINE)
        sse.end_stream("news")
        assert [info.ended for info in sse.broker.streams()] == [True]
        assert len(read_all(sse.broker, "news")) < 20
        sse.broker._retention._clock = lambda: 2**42
        assert sse.broker._retention.tidy()
        assert read_all(sse.broker, "news") == []
        assert sse.health.failures == 0


def test_a_stream_that_is_removed_by_hand_begins_anew_and_its_readers_are_told(url: str, docs: Path) -> None:
    with StreamManager(broker=url) as sse:
        sse.send_event("news", "old")
        with sse.subscribe("news", after=OLDEST) as entries:
            assert entries.next(timeout=DEADLINE)
            sse.send_event("news", "live")
            assert entries.next(timeout=DEADLINE)  # so that the watch has seen the stream
            do(url, (docs / "examples" / "database_remove.sql").read_text())
            told = entries.next(timeout=DEADLINE)
            assert told
            assert told.event.name == GAP
            again = sse.send_event("news", "new")
            entry = entries.next(timeout=DEADLINE)
            assert entry
            assert (entry.id, entry.event.data) == (again, "new")
    assert again.split(".")[1] == "1"


def test_a_stream_that_had_ended_can_be_used_again_once_it_is_removed(url: str, docs: Path) -> None:
    with StreamManager(broker=url) as sse:
        sse.send_event("news", "old")
        sse.end_stream("news")
        do(url, (docs / "examples" / "database_remove.sql").read_text())
        sent = sse.send_event("news", "new")
        assert [entry.id for entry in read_all(sse.broker, "news")] == [sent]


def test_the_table_of_options_is_complete_and_right(docs: Path) -> None:
    page = (docs / "how-to" / "use-a-database.md").read_text("utf-8")
    table = page.partition("\n## Options\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| `([^|]+)` \|", table, re.MULTILINE)
    assert rows == [(name, repr(getattr(Options(), name))) for name in option_names(Options)]
