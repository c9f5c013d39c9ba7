"""The tables: who makes them, where, and what happens when they aren't as they should be."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine, inspect, text
from sqlalchemy.orm import Session

from streamy_backends.sql import from_url
from streamy_core import BrokerUnavailable, ConfigError, StreamManager
from streamy_core.broker import Broker
from streamy_core.testing.reading import data_of, events, eventually, read, read_all, wait_for_bell

from ...cli.command import Command, flask_streamy
from ...support import ROOT
from ..conftest import NewBroker, NewManager
from .conftest import KINDS, NewEngine
from .servers import Server
from .shop import next_of, texts

TABLES: Final = ("streams", "entries", "keys", "meta")
PROCESSES: Final = 8


def drop(engine: Engine, prefix: str) -> None:
    with engine.begin() as connection:
        for table in TABLES:
            connection.execute(text(f"DROP TABLE {prefix}{table}"))


def in_query(url: str, query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{query}"


def test_tables_are_made_on_first_use_with_the_prefix(
    new_broker: NewBroker, engine: Engine, prefix: str
) -> None:
    new_broker(engine.url.render_as_string(hide_password=False))
    assert {f"{prefix}{table}" for table in TABLES} <= set(inspect(engine).get_table_names())


def test_prefixes_keep_streams_apart(new_broker: NewBroker, url: str, prefix: str) -> None:
    first, second = (new_broker(url, table_prefix=f"{prefix}{n}_") for n in (1, 2))
    first.append("news", events("first"))
    second.append("news", events("second"))
    assert (data_of(read_all(first, "news")), data_of(read_all(second, "news"))) == (["first"], ["second"])


@pytest.mark.parametrize("prefix", ["a-b", "a b", "a;b", 'a"b', "ü", "a.b", "a`b"])
@pytest.mark.parametrize("option", ["table_prefix", "schema"])
def test_a_name_that_needs_quoting_is_refused(tmp_path: Path, option: str, prefix: str) -> None:
    with pytest.raises(ConfigError, match=f"{option!r} has to be text of letters, digits and underscores"):
        from_url(f"sqlite:///{tmp_path}/streams.db", {option: prefix})


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_schema_holds_the_tables_and_rings(
    shared: Callable[[str], Server], new_broker: NewBroker, prefix: str, kind: str
) -> None:
    server = shared(kind)
    server.execute(f"CREATE SCHEMA {prefix}")
    broker, default = new_broker(server.url, schema=prefix), new_broker(server.url)
    watch = new_broker(server.url, schema=prefix).watch()
    watch.add("news")
    broker.append("news", events("hello"))
    wait_for_bell(watch, "news")
    assert data_of(read_all(broker, "news")) == ["hello"]
    assert read_all(default, "news") == []


def test_a_session_publishes_into_the_schema(
    shared: Callable[[str], Server], new_manager: NewManager, new_engine: NewEngine, prefix: str
) -> None:
    server = shared("postgresql")
    server.execute(f"CREATE SCHEMA {prefix}")
    sse = new_manager(server.url, schema=prefix)
    with Session(new_engine(server.url)) as session:
        sse.send_event("news", "hello", session=session)
        session.commit()
    assert texts(sse) == ["hello"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_that_is_not_there_is_named(url_of: Callable[[str], str], prefix: str, kind: str) -> None:
    with pytest.raises(ConfigError, match="no_such_schema"):
        from_url(url_of(kind), {"schema": "no_such_schema", "table_prefix": prefix}).close()


AT_A_WORD: Final = """
import sys
from streamy_core import Event
from streamy_core.plugins import open_broker
open_broker("memory://").close()
import sqlalchemy, psycopg, pymysql
print("ready", flush=True)
sys.stdin.readline()
with open_broker(sys.argv[1]) as broker:
    broker.append("news", [Event(str(n)) for n in range(5)])
"""


@pytest.mark.slow
def test_processes_that_start_at_once_on_an_empty_database_make_them_together(
    new_broker: NewBroker, url: str, prefix: str
) -> None:
    command = [sys.executable, "-c", AT_A_WORD, in_query(url, f"table_prefix={prefix}")]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    started = [subprocess.Popen(command, cwd=ROOT, text=True, **pipes) for _ in range(PROCESSES)]
    for process in started:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[1] for process in started]
    assert [process.returncode for process in started] == [0] * PROCESSES, said
    assert len(read_all(new_broker(url), "news")) == 5 * PROCESSES


SHOP: Final = """\
from flask import Flask
from streamy_core import StreamManager

app = Flask(__name__)
app.config["STREAMY_BROKER_URL"] = {url!r}
app.config["STREAMY_BROKER_OPTIONS"] = {{"table_prefix": {prefix!r}, "create_tables": False}}
sse = StreamManager(app)
"""

Run = Callable[..., Command]


@pytest.fixture
def run(tmp_path: Path, url: str, prefix: str) -> Run:
    """Run `flask streamy …` of an app that makes no tables, to its end."""
    (tmp_path / "shop.py").write_text(SHOP.format(url=url, prefix=prefix))

    def run(*args: str) -> Command:
        command = Command(flask_streamy(*args), tmp_path)
        try:
            command.wait()
        finally:
            command.close()
        return command

    return run


@pytest.mark.slow
def test_an_app_that_makes_no_tables_works_after_init_db(
    run: Run, new_broker: NewBroker, url: str, engine: Engine, prefix: str
) -> None:
    assert "flask streamy init-db" in run("send", "news", "too early").errors
    assert not [name for name in inspect(engine).get_table_names() if name.startswith(prefix)]
    run("init-db")
    assert len(run("send", "news", "hello").lines) == 1
    assert data_of(read_all(new_broker(url), "news")) == ["hello"]


@pytest.mark.slow
def test_init_db_leaves_what_is_there(run: Run, new_broker: NewBroker, url: str) -> None:
    place = new_broker(url).append("news", events("hello"))[0]
    run("init-db")
    again = new_broker(url)
    assert data_of(read_all(again, "news")) == ["hello"]
    assert read(again, "news", place).gap is False


def test_without_tables_a_broker_starts_and_says_what_makes_them(
    new_broker: NewBroker, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "streamy"):
        broker = new_broker(url, create_tables=False)
    assert "flask streamy init-db" in caplog.text
    uses: list[Callable[[], Any]] = [
        lambda: broker.append("news", events("early")),
        lambda: broker.tail(["news"]),
        lambda: broker.read({"news": ""}, 10),
        lambda: broker.end("news"),
        broker.watch,
    ]
    for use in uses:
        with pytest.raises(ConfigError, match="flask streamy init-db"):
            use()


def test_a_broker_without_tables_works_once_they_are_there(new_broker: NewBroker, url: str) -> None:
    broker = new_broker(url, create_tables=False)
    new_broker(url)
    broker.append("news", events("hello"))
    assert data_of(read_all(broker, "news")) == ["hello"]


def test_tables_that_are_dropped_in_use_are_made_anew_and_old_places_are_gaps(
    sse: StreamManager, engine: Engine, prefix: str
) -> None:
    place = sse.send_event("news", "before")
    drop(engine, prefix)
    sse.send_event("news", "after")
    assert texts(sse) == ["after"]
    assert read(sse.broker, "news", place).gap


def test_a_subscriber_is_told_of_the_gap_and_goes_on(
    sse: StreamManager, other: StreamManager, engine: Engine, prefix: str
) -> None:
    with other.subscribe("news") as subscription:
        sse.send_event("news", "before")
        assert next_of(subscription) == "before"
        drop(engine, prefix)
        sse.send_event("news", "after")
        entry = subscription.next(10)
        assert entry is not None
        assert entry.event.name == "streamy.gap"
        assert next_of(subscription) == "after"


def test_another_process_that_knows_the_old_tables_goes_on_with_the_new(
    sse: StreamManager, other: StreamManager, new_engine: NewEngine, url: str, engine: Engine, prefix: str
) -> None:
    sse.send_event("news", "before")
    assert texts(other) == ["before"]
    drop(engine, prefix)
    sse.send_event("news", "after")
    other.send_event("news", "alone")
    other.send_event("new", "alone")
    with Session(new_engine(url)) as session:
        other.send_event("news", "within", session=session)
        session.commit()
    assert (texts(sse), texts(sse, "new")) == (["after", "alone", "within"], ["alone"])


def test_without_create_tables_dropped_ones_are_not_made_anew(
    new_broker: NewBroker, url: str, engine: Engine, prefix: str
) -> None:
    new_broker(url)
    broker = new_broker(url, create_tables=False)
    broker.append("news", events("before"))
    drop(engine, prefix)
    refused: list[Exception] = []

    def use() -> bool:
        try:
            broker.append("news", events("after"))
        except (BrokerUnavailable, ConfigError) as error:
            refused.append(error)
        return isinstance(refused[-1], ConfigError)

    eventually(use, "a word on what makes the tables")
    assert "flask streamy init-db" in str(refused[-1])
    assert not inspect(engine).has_table(f"{prefix}streams")


def test_tables_of_another_version_are_refused(
    new_broker: NewBroker, url: str, engine: Engine, prefix: str
) -> None:
    first: Broker = new_broker(url)
    first.append("news", events("hello"))
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {prefix}meta SET version = 1"))
    with pytest.raises(ConfigError, match="are of version 1, and 2 is needed"):
        new_broker(url)
