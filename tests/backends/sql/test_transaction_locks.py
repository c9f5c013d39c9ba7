"""Transactions beside each other: who waits for whom, and what becomes of those that can't both go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any, Final

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from streamy_core import PublishFailed, StreamManager
from streamy_core.ids import sequence_of
from streamy_core.strategies import NoRetry
from streamy_core.testing.reading import DEADLINE, read_all

from ..conftest import NewManager
from .conftest import NewEngine
from .shop import Shop, stays_undone, texts

SERVER_KINDS: Final = ("postgresql", "mariadb")
AT_ONCE: Final = 2.0
"""Seconds: far less than anybody waits for a lock."""

PUBLISHERS: Final = 6
EACH: Final = 15


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(PUBLISHERS) as pool:
        yield pool


@pytest.fixture(params=SERVER_KINDS)
def server_url(request: pytest.FixtureRequest, url_of: Callable[[str], str]) -> str:
    """Of each kind of database in which many write at the same time."""
    return url_of(request.param)


def by_itself(engine: Engine, publish: Callable[[Session], Any]) -> Any:
    """What it returns, in a transaction of its own."""
    with Session(engine) as session, session.begin():
        return publish(session)


@pytest.mark.parametrize("beforehand", [["a", "b"], ["a"], ["b"], []], ids=str)
def test_a_long_transaction_delays_no_other_stream(
    new_manager: NewManager,
    new_engine: NewEngine,
    server_url: str,
    threads: ThreadPoolExecutor,
    beforehand: list[str],
) -> None:
    sse, other, engine = new_manager(server_url), new_manager(server_url), new_engine(server_url)
    for stream in beforehand:
        sse.send_event(stream, "before")
    with Session(engine) as session:
        sse.send_event("a", "held", session=session)
        alone = threads.submit(other.send_event, "b", "alone")
        alone.result(AT_ONCE)
        threads.submit(by_itself, engine, lambda s: other.send_event("b", "within", session=s)).result(
            AT_ONCE
        )
        session.commit()
    assert texts(sse, "b")[-2:] == ["alone", "within"]


@pytest.mark.parametrize("beforehand", [["before"], []], ids=["a stream that is there", "a new stream"])
def test_a_long_transaction_delays_no_reader(
    sse: StreamManager,
    other: StreamManager,
    engine: Engine,
    threads: ThreadPoolExecutor,
    beforehand: list[str],
) -> None:
    sse.send_events("a", beforehand)
    with Session(engine) as session:
        sse.send_event("a", "held", session=session)
        for reader in (sse, other):
            assert threads.submit(texts, reader, "a").result(AT_ONCE) == beforehand
            assert threads.submit(reader.cursor, "a").result(AT_ONCE)
        session.rollback()


@contextmanager
def kept_waiting(
    sse: StreamManager, other: StreamManager, engine: Engine, threads: ThreadPoolExecutor
) -> Iterator[tuple[Session, Future[str]]]:
    """A transaction that has published "held", and what waits for it: the publishing of "alone"."""
    with Session(engine) as session:
        sse.send_event("a", "held", session=session)
        waiting = threads.submit(other.send_event, "a", "alone")
        assert stays_undone(waiting)
        yield session, waiting


def test_who_publishes_to_the_same_stream_waits_and_comes_behind(
    sse: StreamManager, other: StreamManager, engine: Engine, threads: ThreadPoolExecutor
) -> None:
    with kept_waiting(sse, other, engine, threads) as (session, waiting):
        sse.send_event("a", "held, too", session=session)
        session.commit()
    waiting.result(DEADLINE)
    assert texts(sse, "a") == ["held", "held, too", "alone"]


def test_who_waits_takes_the_number_of_what_is_rolled_back(
    sse: StreamManager, other: StreamManager, engine: Engine, threads: ThreadPoolExecutor
) -> None:
    with kept_waiting(sse, other, engine, threads) as (session, waiting):
        session.rollback()
    assert sequence_of(waiting.result(DEADLINE)) == 1
    assert texts(sse, "a") == ["alone"]


@pytest.mark.slow
def test_who_waits_longer_than_the_timeout_fails(
    new_manager: NewManager, new_engine: NewEngine, url: str, threads: ThreadPoolExecutor
) -> None:
    sse, hasty = new_manager(url), new_manager(url, timeout=1, retry=NoRetry())
    with Session(new_engine(url)) as session:
        sse.send_event("a", "held", session=session)
        began = time.monotonic()
        with pytest.raises(PublishFailed, match="'a'"):
            hasty.send_event("a", "alone")
        assert 0.5 < time.monotonic() - began < DEADLINE
        session.commit()
    assert texts(sse, "a") == ["held"]


@pytest.mark.parametrize("beforehand", ["a new stream", "a stream that is there"])
def test_publishers_of_one_stream_queue_and_none_fails(
    new_manager: NewManager,
    new_engine: NewEngine,
    url: str,
    prefix: str,
    threads: ThreadPoolExecutor,
    beforehand: str,
) -> None:
    sse = new_manager(url)
    shop = Shop(new_engine(url, pool_size=PUBLISHERS), prefix)
    if beforehand == "a stream that is there":
        sse.send_event("a", "before")
    together = Barrier(PUBLISHERS)

    def publish(publisher: int) -> None:
        together.wait(DEADLINE)
        for n in range(EACH):
            number = publisher * EACH + n

            def order(session: Session, number: int = number) -> None:
                sse.send_event("a", str(number), session=session)
                shop.order(session, number)

            by_itself(shop.engine, order)

    for done in [threads.submit(publish, publisher) for publisher in range(PUBLISHERS)]:
        done.result(5 * DEADLINE)
    found = read_all(sse.broker, "a")
    assert sorted(int(e.event.data) for e in found if e.event.data != "before") == shop.orders
    assert [sequence_of(entry.id) for entry in found] == list(range(1, len(found) + 1))
    assert len(shop.orders) == PUBLISHERS * EACH


def test_the_first_publishers_of_many_new_streams_do_not_fail(
    new_manager: NewManager, new_engine: NewEngine, url: str, threads: ThreadPoolExecutor
) -> None:
    sse, engine = new_manager(url), new_engine(url, pool_size=PUBLISHERS)
    together = Barrier(PUBLISHERS)

    def publish(publisher: int) -> None:
        together.wait(DEADLINE)
        for n in range(EACH):
            by_itself(engine, lambda s, n=n: sse.send_event(f"{n}-{publisher}", "hello", session=s))

    for done in [threads.submit(publish, publisher) for publisher in range(PUBLISHERS)]:
        done.result(5 * DEADLINE)
    assert all(texts(sse, f"{n}-{p}") == ["hello"] for n in range(EACH) for p in range(PUBLISHERS))


def test_of_two_that_take_two_streams_in_opposite_order_one_goes_through(
    new_manager: NewManager, new_engine: NewEngine, server_url: str, threads: ThreadPoolExecutor
) -> None:
    sse, engine = new_manager(server_url), new_engine(server_url)
    for stream in ("a", "b"):
        sse.send_event(stream, "before")
    together = Barrier(2)

    def publish(first: str, second: str) -> str:
        with Session(engine) as session:
            sse.send_event(first, first + second, session=session)
            together.wait(DEADLINE)
            try:
                sse.send_event(second, first + second, session=session)
            except PublishFailed as error:
                session.rollback()
                return f"failed: {error.__cause__}"
            session.commit()
            return first + second

    said = [threads.submit(publish, *order) for order in ("ab", "ba")]
    (winner, loser) = sorted((done.result(2 * DEADLINE) for done in said), key=len)
    assert "deadlock" in loser.lower()
    assert [texts(sse, stream) for stream in "ab"] == [["before", winner]] * 2


def test_a_transaction_that_has_failed_can_be_rolled_back_and_run_again(
    new_manager: NewManager, new_engine: NewEngine, url_of: Callable[[str], str]
) -> None:
    url = url_of("postgresql")
    sse, engine = new_manager(url), new_engine(url, connect_args={"options": "-c lock_timeout=300"})
    with Session(engine) as holder, Session(engine) as session:
        sse.send_event("a", "held", session=holder)
        with pytest.raises(PublishFailed):
            sse.send_event("a", "within", session=session)
        holder.commit()
        session.rollback()
        sse.send_event("a", "within", session=session)
        session.commit()
    assert texts(sse, "a") == ["held", "within"]


LEVELS: Final = (
    ("sqlite", "SERIALIZABLE"),
    *[("postgresql", level) for level in ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")],
    *[("mariadb", level) for level in ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")],
)


@pytest.mark.parametrize(("kind", "level"), LEVELS)
def test_it_works_at_every_level_of_isolation(
    new_manager: NewManager, new_engine: NewEngine, url_of: Callable[[str], str], kind: str, level: str
) -> None:
    url = url_of(kind)
    sse, engine = new_manager(url), new_engine(url, isolation_level=level)
    with Session(engine) as session:
        session.execute(text("SELECT 1"))
        for n in range(3):
            sse.send_event("a", str(n), idempotency_key=str(n), session=session)
            assert texts(sse, "a") == [str(m) for m in range(n)]
            session.commit()
    assert texts(sse, "a") == ["0", "1", "2"]


def test_mysqls_default_isolation_publishes_behind_what_came_since_it_began(
    new_manager: NewManager, new_engine: NewEngine, url_of: Callable[[str], str], prefix: str
) -> None:
    url = url_of("mariadb")
    sse, shop = new_manager(url), Shop(new_engine(url), prefix)
    with Session(shop.engine) as session:
        assert shop.look(session) == []
        sse.send_event("a", "since")
        sse.send_event("a", "within", session=session)
        session.commit()
    assert texts(sse, "a") == ["since", "within"]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_what_postgresql_can_not_serialize_fails_and_stores_nothing(
    new_manager: NewManager, new_engine: NewEngine, url_of: Callable[[str], str], prefix: str, level: str
) -> None:
    url = url_of("postgresql")
    sse, shop = new_manager(url), Shop(new_engine(url, isolation_level=level), prefix)
    sse.send_event("a", "before")
    with Session(shop.engine) as session:
        assert shop.look(session) == []
        sse.send_event("a", "since")
        with pytest.raises(PublishFailed) as failed:
            sse.send_event("a", "within", session=session)
        assert "could not serialize" in str(failed.value.__cause__)
        session.rollback()
        sse.send_event("a", "again", session=session)
        session.commit()
    assert texts(sse, "a") == ["before", "since", "again"]
