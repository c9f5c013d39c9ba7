"""MariaDB that refuses to change what has changed since a snapshot, as by default from 11.6.2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from streamy_core import StreamEnded, StreamManager

from ...support.process import stopped_in_the_end
from ..conftest import NewManager
from .conftest import NewEngine, server_in
from .servers import Server
from .shop import Shop, texts

pytestmark = pytest.mark.slow

PUBLISHERS = 4
EACH = 25


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with stopped_in_the_end() as started:
        made = server_in("mariadb", tmp_path_factory.mktemp("snapshots"), "--innodb-snapshot-isolation=ON")
        started["mariadb"] = made.start()
        yield made


@pytest.fixture(params=["mariadb", "mysql"])
def url(request: pytest.FixtureRequest, server: Server) -> str:
    return server.url.replace("mariadb", request.param, 1)


def test_sessions_that_read_before_they_publish_to_one_stream_all_succeed(
    url: str, new_manager: NewManager, new_engine: NewEngine
) -> None:
    sse, engine = new_manager(url), new_engine(url, pool_size=PUBLISHERS)
    sse.send_event("news", "first")

    def publish(publisher: int) -> None:
        for number in range(EACH):
            with Session(engine) as session:
                session.execute(text("SELECT COUNT(*) FROM information_schema.innodb_trx"))
                sse.send_event("news", f"{publisher} {number}", session=session)
                session.commit()

    with ThreadPoolExecutor(PUBLISHERS) as pool:
        for done in [pool.submit(publish, publisher) for publisher in range(PUBLISHERS)]:
            done.result()
    assert len(texts(sse)) == 1 + PUBLISHERS * EACH


Snapshot = Callable[[], AbstractContextManager[Session]]


@pytest.fixture
def sse(url: str, new_manager: NewManager) -> StreamManager:
    return new_manager(url)


@pytest.fixture
def snapshot(url: str, new_engine: NewEngine, prefix: str) -> Snapshot:
    """Begins a session that has its snapshot."""
    engine = new_engine(url)
    shop = Shop(engine, prefix)

    @contextmanager
    def begin() -> Iterator[Session]:
        with Session(engine) as session:
            assert shop.look(session) == []
            yield session

    return begin


def test_a_session_publishes_after_another_has_since_its_snapshot(
    sse: StreamManager, snapshot: Snapshot
) -> None:
    sse.send_event("news", "a")
    with snapshot() as session:
        sse.send_event("news", "b")
        sse.send_event("news", "c", session=session, idempotency_key="k")
        sse.send_event("news", "d", session=session)
        session.commit()
    assert texts(sse) == ["a", "b", "c", "d"]


def test_a_session_ends_a_stream_that_has_grown_since_its_snapshot(
    sse: StreamManager, snapshot: Snapshot
) -> None:
    sse.send_event("news", "a")
    with snapshot() as session:
        sse.send_event("news", "b")
        sse.end_stream("news", session=session)
        session.commit()
    with pytest.raises(StreamEnded):
        sse.send_event("news", "never")


def test_a_session_finds_a_key_that_was_used_since_its_snapshot(
    sse: StreamManager, snapshot: Snapshot
) -> None:
    with snapshot() as session:
        first = sse.send_event("news", "a", idempotency_key="k")
        assert sse.send_event("news", "a", session=session, idempotency_key="k") == first
        assert sse.broadcast(["news", "more"], "a", session=session, idempotency_key="k")["news"] == first
        session.commit()
    assert (texts(sse), texts(sse, "more")) == (["a"], ["a"])


def test_the_apps_own_rows_are_guarded_as_before(
    url: str, new_manager: NewManager, new_engine: NewEngine, prefix: str
) -> None:
    sse: StreamManager = new_manager(url)
    engine = new_engine(url)
    shop = Shop(engine, prefix)
    with Session(engine) as session:
        shop.order(session, 1)
        session.commit()
    change = text(f"UPDATE {prefix}orders SET number = number + 1")
    with ExitStack() as stack:
        session, other = stack.enter_context(Session(engine)), stack.enter_context(Session(engine))
        assert shop.look(session) == [1]
        other.execute(change)
        other.commit()
        sse.send_event("news", "never", session=session)
        with pytest.raises(OperationalError, match="1020"):
            session.execute(change)
    sse.end_stream("over")
    with Session(engine) as session:
        assert shop.look(session) == [2]
        with pytest.raises(Exception, match="ended"):
            sse.send_event("over", "never", session=session)
        assert session.execute(text("SELECT @@innodb_snapshot_isolation")).scalar_one() == 1
    assert texts(sse) == []
