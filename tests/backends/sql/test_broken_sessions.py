"""Publishing by a session whose connection breaks, or never comes about."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import PendingRollbackError
from sqlalchemy.orm import Session

from streamy_core import ConfigError, PublishFailed, StreamManager
from streamy_core.testing.reading import DEADLINE, data_of, eventually, read_all

from ..conftest import NewManager
from .conftest import NewEngine, OwnServer
from .servers import Server


def texts(sse: StreamManager, stream: str = "news") -> list[str]:
    return data_of(read_all(sse.broker, stream))


def test_a_connection_that_is_cut_while_it_waits_raises_publish_failed_and_rolls_back_cleanly(
    shared: Callable[[str], Server], new_manager: NewManager, new_engine: NewEngine
) -> None:
    server = shared("postgresql")
    sse, engine = new_manager(server.url), new_engine(server.url)
    sse.send_event("news", "before")

    def publish(pids: list[int]) -> None:
        with Session(engine) as session, session.begin():
            pids.append(session.execute(text("SELECT pg_backend_pid()")).scalar_one())
            sse.send_event("news", "cut", session=session)

    waiting: list[int] = []
    with Session(engine) as holder, ThreadPoolExecutor(1) as pool:
        sse.send_event("news", "held", session=holder)
        cut = pool.submit(publish, waiting)
        blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = {}"
        eventually(
            lambda: waiting and server.execute(blocked.format(waiting[0])) == [(1,)], "a session that waits"
        )
        server.execute(f"SELECT pg_terminate_backend({waiting[0]})")
        with pytest.raises(PublishFailed):
            cut.result(DEADLINE)
        holder.commit()
    assert texts(sse) == ["before", "held"]


def test_after_a_deadlock_on_mariadb_a_session_goes_on_only_once_it_is_rolled_back(
    shared: Callable[[str], Server], new_manager: NewManager, new_engine: NewEngine
) -> None:
    server = shared("mariadb")
    sse, engine = new_manager(server.url), new_engine(server.url)
    for stream in ("a", "b"):
        sse.send_event(stream, "before")

    def publish(first: str, second: str, ready: Callable[[], None]) -> str:
        with Session(engine) as session:
            sse.send_event(first, "one", session=session)
            ready()
            try:
                sse.send_event(second, "two", session=session)
            except PublishFailed:
                with pytest.raises(PendingRollbackError):
                    session.execute(text("SELECT 1"))
                return "lost"
            session.commit()
            return "won"

    arrived: list[int] = []

    def both_are_there() -> None:
        arrived.append(1)
        eventually(lambda: len(arrived) == 2, "the other session")

    with ThreadPoolExecutor(2) as pool:
        outcomes = [pool.submit(publish, *streams, both_are_there) for streams in (("a", "b"), ("b", "a"))]
        assert sorted(outcome.result(2 * DEADLINE) for outcome in outcomes) == ["lost", "won"]
    assert sorted(texts(sse, "a") + texts(sse, "b")) == ["before", "before", "one", "two"]


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_database_that_is_away_when_a_session_begins_raises_publish_failed(
    kind: str, own_server: OwnServer, new_manager: NewManager, new_engine: NewEngine
) -> None:
    server = own_server(kind).start()
    sse, engine = new_manager(server.url), new_engine(server.url)
    sse.send_event("news", "before")
    server.kill()
    with Session(engine) as session, pytest.raises(PublishFailed):
        sse.send_event("news", "lost", session=session)


def test_a_session_that_leads_nowhere_is_refused(sse: StreamManager) -> None:
    with Session() as session, pytest.raises(ConfigError, match="leads to no database"):
        sse.send_event("news", "lost", session=session)
