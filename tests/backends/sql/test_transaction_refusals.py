"""What can't be published by: sessions of other databases, in autocommit, or of nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from streamy_core import ConfigError, StreamManager, StreamyError
from streamy_core.broker import AppendsWithin
from streamy_core.testing.reading import events

from ..conftest import NewManager
from .conftest import SERVERS, NewEngine
from .servers import Server
from .shop import WAYS, Way, names, texts

OtherUrl = Callable[[str], str]


@pytest.fixture
def other_url(shared: Callable[[str], Server], tmp_path: Path, prefix: str) -> OtherUrl:
    """The URL of an empty database of the same kind and, where there is one, on the same server."""

    def give(url: str) -> str:
        kind = url.partition(":")[0]
        return f"sqlite:///{tmp_path}/other.db" if kind == "sqlite" else shared(kind).new_database(prefix)

    return give


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_session_of_another_database_is_refused(
    sse: StreamManager,
    new_manager: NewManager,
    new_engine: NewEngine,
    url: str,
    other_url: OtherUrl,
    way: Way,
) -> None:
    elsewhere = other_url(url)
    there = new_manager(elsewhere)
    with way(new_engine(elsewhere)) as (session, commit, _):
        with pytest.raises(ConfigError, match="session's database isn't that of the streams"):
            sse.send_event("news", "astray", session=session)
        commit()
    assert (names(sse), names(there)) == ([], [])


def test_a_session_of_another_database_without_tables_is_refused(
    sse: StreamManager, new_engine: NewEngine, url: str, other_url: OtherUrl
) -> None:
    with (
        Session(new_engine(other_url(url))) as session,
        pytest.raises(ConfigError, match="session's database"),
    ):
        sse.send_event("news", "astray", session=session)


def test_a_refused_session_harms_no_other(
    sse: StreamManager, engine: Engine, new_engine: NewEngine, url: str, other_url: OtherUrl
) -> None:
    place = sse.send_event("news", "before")
    with Session(new_engine(other_url(url))) as session, pytest.raises(StreamyError):
        sse.send_event("news", "astray", session=session)
    with Session(engine) as session:
        sse.send_event("news", "hello", session=session)
        session.commit()
    assert texts(sse) == ["before", "hello"]
    assert sse.cursor("news").partition(".")[0] == place.partition(".")[0], "another history has begun"


@pytest.mark.slow  # one of the two is a server's, at least
@pytest.mark.parametrize(("kind", "other_kind"), list(permutations(["sqlite", *SERVERS], 2)))
def test_a_session_of_another_kind_of_database_is_refused(
    new_manager: NewManager, new_engine: NewEngine, url_of: Callable[[str], str], kind: str, other_kind: str
) -> None:
    sse = new_manager(url_of(kind))
    with (
        Session(new_engine(url_of(other_kind))) as session,
        pytest.raises(ConfigError, match="session's database"),
    ):
        sse.send_event("news", "astray", session=session)


@pytest.mark.parametrize("by", ["session", "connection", "option"])
def test_a_connection_in_autocommit_is_refused_and_nothing_is_stored(
    sse: StreamManager, new_engine: NewEngine, url: str, by: str
) -> None:
    sse.send_event("news", "before")
    with ExitStack() as to_close:
        session: Any
        if by == "option":
            engine = new_engine(url)
            connection = to_close.enter_context(engine.connect())
            session = connection.execution_options(isolation_level="AUTOCOMMIT")
        else:
            engine = new_engine(url, isolation_level="AUTOCOMMIT")
            session = to_close.enter_context(Session(engine) if by == "session" else engine.connect())
        for stream in ("news", "new"):
            with pytest.raises(ConfigError, match="autocommit"):
                sse.send_event(stream, "never", session=session)
        session.rollback()
    assert (texts(sse), names(sse)) == (["before"], ["news"])


class LooksLikeASession:
    def connection(self, **_: Any) -> str:
        return "a connection"


@pytest.mark.parametrize("wrong", ["text", 3, object(), True, LooksLikeASession()])
def test_what_is_no_session_is_refused_by_its_type(sse: StreamManager, wrong: Any) -> None:
    with pytest.raises(TypeError, match="Session or Connection"):
        sse.send_event("news", "never", session=wrong)
    assert names(sse) == []


def test_an_engine_is_no_session(sse: StreamManager, engine: Engine) -> None:
    with pytest.raises(TypeError, match="Session or Connection, not Engine"):
        sse.send_event("news", "never", session=engine)


def test_what_is_no_session_is_refused_without_events_too(sse: StreamManager) -> None:
    assert isinstance(sse.broker, AppendsWithin)
    with pytest.raises(TypeError):
        sse.broker.append_within("text", "news", [])


def test_a_stream_that_is_none_is_refused_before_the_session_is_used(sse: StreamManager) -> None:
    with pytest.raises(ValueError, match="stream"):
        sse.send_event("", "never", session="not even looked at")


@pytest.mark.parametrize("url", ["memory://", "redis://127.0.0.1:1/0"])
def test_a_backend_that_is_no_database_refuses_any_session(engine_of_its_own: Engine, url: str) -> None:
    if url.startswith("redis"):
        pytest.importorskip("redis")
    with (
        StreamManager(broker=url) as sse,
        Session(engine_of_its_own) as session,
        pytest.raises(
            ConfigError, match=r"session= is for a backend that keeps streams in the app's database"
        ),
    ):
        sse.send_event("news", "never", session=session)


@pytest.fixture
def engine_of_its_own(new_engine: NewEngine, tmp_path: Path) -> Engine:
    return new_engine(f"sqlite:///{tmp_path}/shop.db")


def test_a_closed_broker_takes_no_session(sse: StreamManager, engine: Engine) -> None:
    broker = sse.broker
    assert isinstance(broker, AppendsWithin)
    broker.close()
    with Session(engine) as session, pytest.raises(RuntimeError, match="closed"):
        broker.append_within(session, "news", events("never"))
