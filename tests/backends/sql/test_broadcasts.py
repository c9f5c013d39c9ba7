"""One event to many streams is one transaction: of the broker's own, or of the app's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from streamy_core import Event, PublishFailed, StreamManager
from streamy_core.broker import AppendsToMany, ListsStreams
from streamy_core.testing.reading import data_of, finish, in_a_thread, read_all

from ..conftest import NewBroker
from .conftest import by_each_driver
from .shop import Way, next_of, texts

pytestmark = by_each_driver

STREAMS = [f"user:{n}" for n in range(10)]


def everything(sse: StreamManager) -> dict[str, list[str]]:
    assert isinstance(sse.broker, ListsStreams)
    return {info.stream_id: texts(sse, info.stream_id) for info in sse.broker.streams()}


@pytest.fixture
def locked(new_engine: Callable[[str], Engine], url: str, prefix: str) -> Iterator[Callable[[str], None]]:
    """Keeps a stream's row locked by a transaction that goes on until the test ends."""
    with new_engine(url).connect() as db:

        def lock(stream_id: str) -> None:
            name: str | bytes = stream_id if not url.startswith(("mariadb", "mysql")) else stream_id.encode()
            db.execute(
                text(f"UPDATE {prefix}streams SET head = head WHERE stream_id = :name"), {"name": name}
            )

        yield lock
        db.rollback()


def test_if_one_stream_cannot_be_written_none_is(
    new_broker: NewBroker, url: str, locked: Callable[[str], None]
) -> None:
    sse = StreamManager(broker=new_broker(url, timeout=1.0), max_retries=0)
    for name in STREAMS:
        sse.send_event(name, "before")
    locked(STREAMS[7])
    with pytest.raises(PublishFailed) as failure:
        sse.broadcast(STREAMS, "x")
    assert failure.value.stored == {}
    assert everything(sse) == {name: ["before"] for name in STREAMS}


def test_a_broadcast_by_a_session_is_there_when_it_commits_and_not_before(
    sse: StreamManager, other: StreamManager, engine: Engine, way: Way
) -> None:
    sse.end_stream("user:3")
    with way(engine) as (session, commit, _):
        ids = sse.broadcast(STREAMS, "x", session=session)
        assert all(texts(sse, name) == [] for name in STREAMS)
        commit()
    assert sorted(ids) == [name for name in STREAMS if name != "user:3"]
    for name, entry_id in ids.items():
        assert [(entry.id, entry.event.data) for entry in read_all(other.broker, name)] == [(entry_id, "x")]


def test_a_broadcast_by_a_session_that_rolls_back_leaves_nothing(
    sse: StreamManager, engine: Engine, way: Way
) -> None:
    with way(engine) as (session, _, rollback):
        sse.broadcast(STREAMS, "never", session=session)
        rollback()
    assert everything(sse) == {}


def test_a_stream_ends_when_the_transaction_commits_and_not_before(
    sse: StreamManager, other: StreamManager, engine: Engine, way: Way
) -> None:
    sse.send_event("job", "step")
    with other.subscribe("job") as there, way(engine) as (session, commit, _):
        sse.send_event("job", "done", session=session)
        sse.end_stream("job", session=session)
        assert there.next(0.1) is None
        commit()
        assert next_of(there) == "done"
        finish(in_a_thread(lambda: list(there)), "the end")
    assert texts(sse, "job") == ["step", "done"]


def test_a_stream_whose_end_is_rolled_back_goes_on(sse: StreamManager, engine: Engine, way: Way) -> None:
    with way(engine) as (session, _, rollback):
        sse.end_stream("job", session=session)
        rollback()
    sse.send_event("job", "on")
    assert texts(sse, "job") == ["on"]


def test_broadcasts_transactions_and_single_events_do_not_wait_for_each_other_for_good(
    sse: StreamManager, engine: Engine
) -> None:
    def broadcast(who: int) -> None:
        for n in range(5):
            sse.broadcast(STREAMS[:: 1 if who else -1], f"{who} {n}")

    def by_session() -> None:
        for n in range(5):
            with Session(engine) as session:
                sse.broadcast(STREAMS, f"session {n}", session=session)
                session.commit()

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(broadcast, 0), pool.submit(broadcast, 1), pool.submit(by_session)]:
            done.result(60)
    for name in STREAMS:
        assert sorted(texts(sse, name)) == sorted(
            [f"{who} {n}" for who in ("0", "1", "session") for n in range(5)]
        )


def test_broadcasts_to_other_streams_wait_for_nobody(
    new_broker: NewBroker, url: str, locked: Callable[[str], None]
) -> None:
    sse = StreamManager(broker=new_broker(url, timeout=1.0), max_retries=0)
    names = [f"s{n}" for n in range(20)]
    sse.broadcast(names, "before")
    locked("s0")
    if url.startswith("sqlite"):  # which has one writer at a time
        with pytest.raises(PublishFailed):
            sse.broadcast(names[1:], "x")
    else:
        assert sorted(sse.broadcast(names[1:], "x")) == sorted(names[1:])


def test_broadcasts_of_many_threads_to_streams_of_their_own_do_not_meet(sse: StreamManager) -> None:
    def broadcast(who: int) -> None:
        for n in range(4):
            sse.broadcast([f"{who} {n}" for n in range(300)], str(n))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(broadcast, range(3)))
    assert all(texts(sse, f"{who} 7") == ["0", "1", "2", "3"] for who in range(3))


def test_broadcasts_of_two_processes_under_one_key_are_one(new_broker: NewBroker, url: str) -> None:
    brokers = [new_broker(url) for _ in range(4)]

    def append(broker: object) -> object:
        assert isinstance(broker, AppendsToMany)
        return broker.append_to_many(dict.fromkeys(STREAMS, (Event("x"),)), idempotency_key="k")

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(append, brokers)
    assert others == [first] * 3
    assert all(data_of(read_all(brokers[0], name)) == ["x"] for name in STREAMS)
