"""Sessions that would write where nobody reads, or not as it was said: refused before anything is stored."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from streamy_core import ConfigError, StreamManager

from ..conftest import NewManager
from .conftest import SERVERS, NewEngine, OwnServer
from .moving import pair_of
from .servers import Server
from .shop import texts

ROCKET = "\U0001f680"


class Elsewhere:
    """Copies of a broker's tables in another schema of the same server, which MariaDB calls a database.

    go: the SQL by which a session comes to lead there.
    """

    def __init__(self, kind: str, server: Server, prefix: str) -> None:
        self.server, self.schema, self.prefix = server, f"{prefix}t1", prefix
        server.execute(f"CREATE {'SCHEMA' if kind == 'postgresql' else 'DATABASE'} {self.schema}")
        for table in ("streams", "entries", "keys", "meta"):
            own = f"{prefix}{table}"
            like = f"(LIKE public.{own} INCLUDING ALL)" if kind == "postgresql" else f"LIKE streams.{own}"
            server.execute(f"CREATE TABLE {self.schema}.{own} {like}")
        where = "public" if kind == "postgresql" else "streams"
        server.execute(f"INSERT INTO {self.schema}.{prefix}meta SELECT * FROM {where}.{prefix}meta")
        self.go = f"SET search_path TO {self.schema}" if kind == "postgresql" else f"USE {self.schema}"
        self.home = where

    def rows(self) -> int:
        ((count,),) = self.server.execute(f"SELECT COUNT(*) FROM {self.schema}.{self.prefix}entries")
        return int(count)


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(kind: str, shared: Callable[[str], Server]) -> str:
    return shared(kind).url


@pytest.fixture
def elsewhere(kind: str, shared: Callable[[str], Server], prefix: str, sse: StreamManager) -> Elsewhere:
    sse.send_event("news", "before")
    return Elsewhere(kind, shared(kind), prefix)


def test_a_session_that_was_led_to_another_schema_is_refused_and_says_what_mends_it(
    sse: StreamManager, engine: Engine, elsewhere: Elsewhere
) -> None:
    with Session(engine) as session:
        sse.send_event("news", "here", session=session)
        session.commit()
    with Session(engine) as session:
        session.execute(text(elsewhere.go))
        with pytest.raises(ConfigError, match=f"{elsewhere.schema}.*schema={elsewhere.home}"):
            sse.send_event("news", "astray", session=session)
        session.commit()
        session.connection().invalidate()
    with Session(engine) as session:
        sse.send_event("news", "here again", session=session)
        session.commit()
    assert (texts(sse), elsewhere.rows()) == (["before", "here", "here again"], 0)


def test_a_schema_that_is_changed_in_the_midst_of_a_transaction_is_seen(
    sse: StreamManager, engine: Engine, elsewhere: Elsewhere
) -> None:
    with Session(engine) as session:
        sse.send_event("news", "here", session=session)
        session.execute(text(elsewhere.go))
        with pytest.raises(ConfigError, match="session's database"):
            sse.send_event("news", "astray", session=session)
        session.commit()
        session.connection().invalidate()
    assert (texts(sse), elsewhere.rows()) == (["before", "here"], 0)


def test_a_pool_that_leads_its_connections_elsewhere_is_refused(
    sse: StreamManager, engine: Engine, elsewhere: Elsewhere
) -> None:
    def lead_away(connection: Any, *_: object) -> None:
        db = connection.cursor()
        db.execute(elsewhere.go)
        db.close()
        connection.commit()

    event.listen(engine, "checkout", lead_away)
    with Session(engine) as session, pytest.raises(ConfigError, match="session's database"):
        sse.send_event("news", "astray", session=session)
    assert (texts(sse), elsewhere.rows()) == (["before"], 0)


def test_with_the_schema_in_the_options_any_session_of_the_server_publishes(
    new_manager: NewManager, url: str, engine: Engine, elsewhere: Elsewhere
) -> None:
    sse = new_manager(url, schema=elsewhere.home)
    with Session(engine) as session:
        session.execute(text(elsewhere.go))
        sse.send_event("news", "here", session=session)
        session.commit()
        session.connection().invalidate()
    assert (texts(sse), elsewhere.rows()) == (["before", "here"], 0)


@pytest.mark.parametrize("kind", SERVERS)
def test_a_session_of_a_copy_of_the_server_is_refused(
    kind: str, own_server: OwnServer, prefix: str, new_manager: NewManager, new_engine: NewEngine
) -> None:
    with pair_of(kind, own_server, prefix) as pair:
        sse, copy = new_manager(pair.new_url), new_manager(pair.url)
        with (
            Session(new_engine(pair.url)) as session,
            pytest.raises(ConfigError, match="session's database"),
        ):
            sse.send_event("news", "astray", session=session)
        assert (texts(sse), texts(copy)) == (["before"], ["before"])


def test_a_session_that_is_led_to_the_new_server_first_takes_the_broker_there(
    kind: str, own_server: OwnServer, prefix: str, new_manager: NewManager, new_engine: NewEngine
) -> None:
    with pair_of(kind, own_server, prefix) as pair:
        sse = new_manager(pair.url)
        sse.cursor("news")
        pair.demote()
        pair.move()
        with Session(new_engine(pair.url)) as session:
            sse.send_event("news", "here", session=session)
            session.commit()
        assert texts(sse) == ["before", "here"]


def test_a_session_of_a_copied_file_is_refused(
    new_manager: NewManager, new_engine: NewEngine, tmp_path: Path
) -> None:
    first = new_manager(f"sqlite:///{tmp_path}/streams.db")
    first.send_event("news", "before")
    with (
        closing(sqlite3.connect(tmp_path / "streams.db")) as source,
        closing(sqlite3.connect(tmp_path / "copy.db")) as target,
    ):
        source.backup(target)
    sse, copy = first, new_manager(f"sqlite:///{tmp_path}/copy.db")
    with Session(new_engine(f"sqlite:///{tmp_path}/copy.db")) as session:
        with pytest.raises(ConfigError, match=r"copy\.db.*streams\.db"):
            sse.send_event("news", "astray", session=session)
        session.commit()
    assert (texts(sse), texts(copy)) == (["before"], ["before"])


@pytest.fixture
def narrow_url(kind: str, url: str) -> Callable[[str], str]:
    """The URL with another encoding than Unicode."""
    name = "client_encoding" if kind == "postgresql" else "charset"
    return lambda encoding: f"{url}?{name}={encoding}"


NARROW = {"postgresql": ["latin1", "euc_jp"], "mariadb": ["utf8", "latin1"]}


@pytest.mark.parametrize(("kind", "encoding"), [(kind, one) for kind in NARROW for one in NARROW[kind]])
@pytest.mark.parametrize("data", ["a", ROCKET])
def test_a_session_whose_connection_is_not_unicode_is_refused_before_anything_is_stored(
    sse: StreamManager,
    new_engine: NewEngine,
    narrow_url: Callable[[str], str],
    encoding: str,
    data: str,
) -> None:
    with Session(new_engine(narrow_url(encoding))) as session:
        with pytest.raises(ConfigError, match=r"can't hold every text.*(client_encoding|charset=utf8mb4)"):
            sse.send_event("news", data, session=session)
        session.commit()
    assert texts(sse) == []


@pytest.mark.parametrize("kind", ["mariadb"])
def test_a_charset_that_is_changed_by_the_session_is_seen(sse: StreamManager, engine: Engine) -> None:
    with Session(engine) as session:
        session.execute(text("SET NAMES latin1"))
        with pytest.raises(ConfigError, match="charset is latin1"):
            sse.send_event("news", ROCKET, session=session)
        session.execute(text("SET NAMES utf8mb4"))
        sse.send_event("news", ROCKET, session=session)
        session.commit()
    assert texts(sse) == [ROCKET]


@pytest.mark.parametrize(("kind", "encoding"), [("postgresql", "latin1"), ("mariadb", "utf8")])
def test_an_engine_to_share_that_is_not_unicode_is_refused_at_start(
    new_engine: NewEngine, new_manager: NewManager, narrow_url: Callable[[str], str], encoding: str
) -> None:
    with pytest.raises(ConfigError, match="can't hold every text"):
        new_manager("sql:", engine=new_engine(narrow_url(encoding)))


def test_a_session_that_chooses_among_engines_publishes_by_the_one_that_it_writes_by(
    sse: StreamManager,
    new_engine: NewEngine,
    url: str,
    kind: str,
    shared: Callable[[str], Server],
    prefix: str,
) -> None:
    leader = new_engine(url)
    follower = new_engine(shared(kind).new_database(f"{prefix}follower"))

    class RoutingSession(Session):
        def get_bind(self, mapper: Any = None, *, clause: Any = None, **_: Any) -> Engine:
            return leader if self._flushing or getattr(clause, "is_dml", False) else follower

    with RoutingSession() as session:
        sse.send_event("news", "here", session=session)
        session.commit()
    assert texts(sse) == ["here"]


def test_a_refused_session_can_go_on(sse: StreamManager, engine: Engine, elsewhere: Elsewhere) -> None:
    with Session(engine) as session:
        session.execute(text(elsewhere.go))
        with pytest.raises(ConfigError):
            sse.send_event("news", "astray", session=session)
        assert session.execute(text("SELECT 1")).scalar_one() == 1
        session.rollback()
        session.connection().invalidate()
