"""What a URL and options may say, and that it is done."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from streamy_backends.sql import SCHEMES, from_url
from streamy_backends.sql.options import Options, parse
from streamy_core import ConfigError
from streamy_core.broker import AdaptivePolling, FixedPolling
from streamy_core.plugins import find_backends, open_broker
from streamy_core.testing.reading import data_of, events, read_all, wait_for_bell

from ..conftest import NewBroker
from ..promises.options import assert_no_time, each_wrong_time
from .servers import Server

PLAIN: Final = "postgresql://host/shop"

GIVEN: Final[dict[str, tuple[str, Any]]] = {
    "table_prefix": ("shop_", "shop_"),
    "schema": ("sales", "sales"),
    "create_tables": ("false", False),
    "history": ("5", 5),
    "history_age": ("1.5", 1.5),
    "forget_after": ("7", 7.0),
    "key_age": ("9", 9.0),
    "tidy_every": ("3", 3.0),
    "timeout": ("0.5", 0.5),
    "max_connections": ("4", 4),
    "notify": ("no", False),
    "synchronous": ("normal", "normal"),
    "poll_floor": ("0.25", 0.25),
    "poll_ceiling": ("2", 2.0),
}
"""Each option that a query can hold: as text, and what it then is."""


def test_every_option_that_is_no_object_is_tried_here() -> None:
    assert {option.name for option in fields(Options)} - GIVEN.keys() == {"polling", "engine"}


@pytest.mark.parametrize("name", GIVEN)
def test_an_option_stands_in_the_query(name: str) -> None:
    said, value = GIVEN[name]
    _, options = parse(f"{PLAIN}?{name}={said}", {})
    assert options == Options(**{name: value})
    assert options != Options()


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("as_text", [True, False], ids=["as text", "as it is"])
def test_an_option_that_is_given_by_name_wins_over_the_query(name: str, as_text: bool) -> None:
    said, value = GIVEN[name]
    default = getattr(Options(), name)
    _, options = parse(
        f"{PLAIN}?{name}={'x' if default is None else default}", {name: said if as_text else value}
    )
    assert options == Options(**{name: value})


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("true", True),
        ("True", True),
        ("yes", True),
        ("1", True),
        ("FALSE", False),
        ("no", False),
        ("0", False),
    ],
)
def test_a_flag_is_said_in_many_ways(said: str, value: bool) -> None:
    _, options = parse(f"{PLAIN}?notify={said}&create_tables={said}", {})
    assert (options.notify, options.create_tables) == (value, value)


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("history=many", "'history' has to be a whole number from 1 to .*, not 'many'"),
        ("history=1.5", "'history' has to be a whole number from 1 to .*, not '1.5'"),
        ("history=0", "'history' has to be a whole number from 1 to .*, not '0'"),
        ("max_connections=-1", "'max_connections' has to be a whole number from 1, not '-1'"),
        ("timeout=long", "'timeout' has to be a number of seconds above 0, .*not 'long'"),
        ("notify=perhaps", "'notify' has to be true or false, not 'perhaps'"),
        ("create_tables=", "'create_tables' has to be true or false, not ''"),
        ("synchronous=off", "'synchronous' has to be one of full, normal, not 'off'"),
        ("table_prefix=a-b", "'table_prefix' has to be text of letters, digits and underscores, not 'a-b'"),
        ("schema=a.b", "'schema' has to be text of letters, digits and underscores, or None, not 'a.b'"),
        ("polling=often", "'polling' has to be a PollScheduler, or None, not 'often'"),
        ("poll_floor=2&poll_ceiling=1", "polling goes from a floor above 0 to a ceiling"),
        ("poll_ceiling=4000", "polling goes from a floor above 0 to a ceiling"),
        ("histroy=5", r"sql option 'histroy' is unknown: did you mean 'history'\?"),
        ("tableprefix=x", r"sql option 'tableprefix' is unknown: did you mean 'table_prefix'\?"),
    ],
)
def test_what_can_not_be_meant_is_named_with_what_could_be(tmp_path: Path, query: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        from_url(f"sqlite:///{tmp_path}/streams.db?{query}", {})


TIMES: Final = [
    "history_age",
    "forget_after",
    "key_age",
    "tidy_every",
    "timeout",
    "poll_floor",
    "poll_ceiling",
]


@pytest.mark.parametrize("name", TIMES)
@each_wrong_time
def test_a_time_that_is_none_is_refused(name: str, value: str) -> None:
    assert_no_time(lambda query: parse(f"{PLAIN}?{query}", {}), name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in ("history", "max_connections") for value in (1.5, True, [5])],
        ("max_connections", None),
        *[(name, value) for name in TIMES for value in (True, math.nan, [5])],
        *[(name, None) for name in TIMES if name not in ("history_age", "forget_after")],
        *[(name, value) for name in ("create_tables", "notify") for value in (None, 2, [True])],
        *[(name, value) for name in ("table_prefix", "schema") for value in (3, b"x", ["x"])],
        ("table_prefix", None),
        ("synchronous", None),
        ("synchronous", ["full"]),
        ("polling", 3),
        ("engine", 3),
    ],
)
def test_an_option_of_a_wrong_type_is_named(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"sql option '{name}' has to be "):
        from_url(f"sqlite:///{tmp_path}/streams.db", {name: value})


def test_an_option_by_name_that_nobody_knows_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sql option 'histroy' is unknown: did you mean 'history'"):
        from_url(f"sqlite:///{tmp_path}/streams.db", {"histroy": 5})


def test_the_history_that_the_query_asks_for_is_kept(url: str, new_broker: NewBroker) -> None:
    broker = new_broker(f"{url}?history=4")
    for n in range(20):
        broker.append("news", events(str(n)))
    assert data_of(read_all(broker, "news")) == ["16", "17", "18", "19"]


def test_a_scheduler_wins_over_floor_and_ceiling() -> None:
    scheduler = FixedPolling(7)
    _, options = parse(f"{PLAIN}?poll_floor=1", {"polling": scheduler})
    assert options.poll_scheduler is scheduler


def test_floor_and_ceiling_make_a_scheduler() -> None:
    _, options = parse(f"{PLAIN}?poll_floor=0.5&poll_ceiling=7", {})
    assert options.poll_scheduler == AdaptivePolling(0.5, 7.0)


def test_without_notify_postgresql_is_polled(url_of: Callable[[str], str], new_broker: NewBroker) -> None:
    url = url_of("postgresql")
    watch = new_broker(url, notify=False).watch()
    watch.add("news")
    new_broker(url, notify=False).append("news", events("hello"))
    wait_for_bell(watch, "news")


def asked(broker: Any, sql: str) -> Any:
    """What the broker's own connections answer."""
    with broker._database.autocommit("ask") as db:
        db.execute(sql)
        return db.fetchone()[0]


def test_what_is_not_ours_in_the_query_is_the_drivers_for_postgresql(
    shared: Callable[[str], Server], new_broker: NewBroker, prefix: str
) -> None:
    server = shared("postgresql")
    broker = new_broker(f"{server.url}?application_name={prefix}&history=5")
    watch = broker.watch()
    assert asked(broker, "SHOW application_name") == prefix
    count = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{prefix}'"
    assert server.execute(count)[0][0] == 2, "the bell's connection is named, too"
    watch.close()


def test_settings_in_the_query_stand_beside_the_brokers_own_for_postgresql(
    shared: Callable[[str], Server], new_broker: NewBroker, prefix: str
) -> None:
    server = shared("postgresql")
    server.execute(f"CREATE SCHEMA {prefix}")
    broker = new_broker(f"{server.url}?options=-csearch_path%3D{prefix}", timeout=3)
    assert asked(broker, "SHOW search_path") == prefix
    assert asked(broker, "SHOW lock_timeout") == "3s"


def test_what_is_not_ours_in_the_query_is_the_drivers_for_mariadb(
    url_of: Callable[[str], str], new_broker: NewBroker
) -> None:
    command = quote("SET SESSION max_statement_time = 17")
    broker = new_broker(f"{url_of('mariadb')}?init_command={command}&history=5")
    assert asked(broker, "SELECT @@max_statement_time") == 17


LIKE_OURS: Final = [
    ("postgresql://host/shop", "connect_timeout"), ("postgresql://host/shop", "tcp_user_timeout"),
    ("mysql://host/shop", "connect_timeout"), ("mysql://host/shop", "read_timeout"),
    ("mariadb://host/shop", "write_timeout"),
]  # fmt: skip
"""Options of drivers whose names are like that of ours."""


@pytest.mark.parametrize(("url", "name"), LIKE_OURS)
def test_an_option_of_the_drivers_is_not_taken_for_a_slip_of_ours(url: str, name: str) -> None:
    database, options = parse(f"{url}?{name}=17&timeout=3", {})
    assert (dict(database.query), options.timeout) == ({name: "17"}, 3.0)


def test_a_drivers_own_timeouts_win_over_those_made_of_ours(
    url_of: Callable[[str], str], new_broker: NewBroker
) -> None:
    query = "connect_timeout=17&timeout=3"
    with new_broker(f"{url_of('postgresql')}?{query}")._database.autocommit("ask") as db:  # type: ignore[attr-defined]
        assert db.connection.info.get_parameters()["connect_timeout"] == "17"
    query = "read_timeout=17&timeout=3"
    with new_broker(f"{url_of('mariadb')}?{query}")._database.autocommit("ask") as db:  # type: ignore[attr-defined]
        assert (db.connection._read_timeout, db.connection._write_timeout) == (17, 6)


@pytest.mark.parametrize("charset", ["utf8mb4", "latin1"])
def test_any_text_is_stored_whatever_charset_mariadbs_url_says(
    url_of: Callable[[str], str], new_broker: NewBroker, charset: str
) -> None:
    broker = new_broker(f"{url_of('mariadb')}?charset={charset}")
    broker.append("n\u00fcws", events("\u00fc \u20ac \U0001f600"))
    assert data_of(read_all(broker, "n\u00fcws")) == ["\u00fc \u20ac \U0001f600"]


def test_what_is_not_ours_in_the_query_is_the_drivers_for_sqlite(
    tmp_path: Path, new_broker: NewBroker
) -> None:
    broker = new_broker(f"sqlite:///{tmp_path}/streams.db?timeout=7&cached_statements=3")
    assert asked(broker, "PRAGMA busy_timeout") == 7_000


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mariadb"])
def test_what_no_driver_knows_is_refused_with_its_name(url_of: Callable[[str], str], kind: str) -> None:
    with pytest.raises(ConfigError, match="no_such_thing"):
        from_url(f"{url_of(kind)}?no_such_thing=1", {}).close()


@pytest.mark.parametrize("seconds", ["0.3", "1", "7"])
def test_the_timeout_is_the_wait_for_a_lock(url: str, new_broker: NewBroker, seconds: str) -> None:
    broker = new_broker(url, timeout=seconds)
    whole = max(1, math.ceil(float(seconds)))
    question, answer = {
        "sqlite": ("PRAGMA busy_timeout", round(float(seconds) * 1_000)),
        "postgresql": ("SHOW lock_timeout", f"{seconds}s" if whole == float(seconds) else "300ms"),
        "mariadb": ("SELECT @@innodb_lock_wait_timeout", whole),
        "mysql": ("SELECT @@innodb_lock_wait_timeout", whole),
    }[url.partition(":")[0]]
    assert asked(broker, question) == answer


@pytest.mark.parametrize(("said", "level"), [("full", 2), ("normal", 1)])
def test_synchronous_is_told_to_sqlite(tmp_path: Path, new_broker: NewBroker, said: str, level: int) -> None:
    broker = new_broker(f"sqlite:///{tmp_path}/streams.db?synchronous={said}")
    assert asked(broker, "PRAGMA synchronous") == level


def test_every_scheme_is_found_as_a_backend() -> None:
    assert set(SCHEMES) <= {backend.scheme for backend in find_backends() if backend.factory}


SPELLINGS: Final = (
    ("sqlite", "sqlite"), ("sqlite", "sqlite+pysqlite"),
    ("postgresql", "postgres"), ("postgresql", "postgresql"), ("postgresql", "postgresql+psycopg"),
    ("postgresql", "PostgreSQL"),
    ("mariadb", "mysql"), ("mariadb", "mysql+pymysql"), ("mariadb", "mariadb"),
    ("mariadb", "mariadb+pymysql"),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "scheme"), SPELLINGS)
def test_a_scheme_opens_the_database_that_it_names(
    url_of: Callable[[str], str], prefix: str, kind: str, scheme: str
) -> None:
    url = scheme + url_of(kind).removeprefix(kind)
    with open_broker(url, {"table_prefix": prefix}) as broker:
        watch = broker.watch()
        watch.add("news")
        broker.append("news", events("hello", "again"))
        wait_for_bell(watch, "news")
        assert data_of(read_all(broker, "news")) == ["hello", "again"]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mariadb"])
def test_every_spelling_reaches_the_same_streams(
    url_of: Callable[[str], str], new_broker: NewBroker, kind: str
) -> None:
    url = url_of(kind)
    for of, scheme in SPELLINGS:
        if of == kind:
            new_broker(scheme + url.removeprefix(kind)).append("news", events(scheme))
    assert data_of(read_all(new_broker(url), "news")) == [s for of, s in SPELLINGS if of == kind]


@pytest.mark.parametrize("path", ["sqlite:///streams.db", "sqlite:///./streams.db"])
def test_a_relative_path_is_one_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_broker: NewBroker, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    new_broker(path).append("news", events("hello"))
    assert (tmp_path / "streams.db").exists()


def test_a_path_may_hold_anything(tmp_path: Path, new_broker: NewBroker) -> None:
    folder = tmp_path / "\u00fc a+b@c"
    folder.mkdir()
    new_broker(f"sqlite:///{folder}/s.db").append("news", events("hello"))
    assert (folder / "s.db").exists()
