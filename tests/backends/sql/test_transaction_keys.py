"""Within the app's transactions: what is published again by its key, or to a stream that has ended."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from streamy_core import StreamEnded, StreamManager
from streamy_core.broker import AppendsWithin, Duplicate
from streamy_core.testing.reading import DEADLINE, events

from ..conftest import NewBroker
from .conftest import by_each_driver
from .shop import Shop, stays_undone, texts

pytestmark = by_each_driver


@pytest.fixture
def in_background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def publish(sse: StreamManager, engine: Engine, text: str, key: str, stream_id: str = "news") -> str:
    """By a transaction of its own."""
    with Session(engine) as session:
        found = sse.send_event(stream_id, text, idempotency_key=key, session=session)
        session.commit()
        return found


def test_a_key_used_twice_in_a_transaction_stores_once(sse: StreamManager, engine: Engine) -> None:
    with Session(engine) as session:
        ids = {sse.send_event("news", "hello", idempotency_key="k", session=session) for _ in range(3)}
        session.commit()
    assert (len(ids), texts(sse)) == (1, ["hello"])


def test_a_key_repeated_in_a_later_transaction_gives_the_first_ids(
    sse: StreamManager, other: StreamManager, engine: Engine
) -> None:
    first = publish(sse, engine, "hello", "k")
    assert publish(other, engine, "hello", "k") == first
    assert texts(sse) == ["hello"]


def test_a_key_of_many_events_gives_all_their_ids(sse: StreamManager, engine: Engine) -> None:
    with Session(engine) as session:
        first = sse.send_events("news", ["a", "b", "c"], idempotency_key="k", session=session)
        session.commit()
        assert sse.send_events("news", ["a", "b", "c"], idempotency_key="k", session=session) == first
        session.commit()
    assert texts(sse) == ["a", "b", "c"]


def test_what_was_stored_before_is_said_to_be_a_duplicate(
    url: str, new_broker: NewBroker, engine: Engine
) -> None:
    broker = new_broker(url)
    assert isinstance(broker, AppendsWithin)
    first = broker.append("news", events("a", "b"), idempotency_key="k")
    again = broker.append("news", events("a", "b"), idempotency_key="k")
    with Session(engine) as session:
        within = broker.append_within(session, "news", events("a", "b"), idempotency_key="k")
        new = broker.append_within(session, "news", events("c"), idempotency_key="l")
        session.commit()
    assert first == again == within
    assert [isinstance(ids, Duplicate) for ids in (first, again, within, new)] == [False, True, True, False]


def test_a_key_used_without_a_session_holds_with_one(sse: StreamManager, engine: Engine) -> None:
    first = sse.send_event("news", "hello", idempotency_key="k")
    assert publish(sse, engine, "hello", "k") == first
    assert texts(sse) == ["hello"]


def test_a_key_used_with_a_session_holds_without_one(sse: StreamManager, engine: Engine) -> None:
    first = publish(sse, engine, "hello", "k")
    assert sse.send_event("news", "hello", idempotency_key="k") == first
    assert texts(sse) == ["hello"]


def test_a_key_of_a_transaction_that_was_rolled_back_may_be_used(sse: StreamManager, engine: Engine) -> None:
    with Session(engine) as session:
        sse.send_event("news", "never", idempotency_key="k", session=session)
        session.rollback()
    publish(sse, engine, "hello", "k")
    assert texts(sse) == ["hello"]


def test_a_key_holds_for_its_stream_alone(sse: StreamManager, engine: Engine) -> None:
    publish(sse, engine, "a", "k")
    publish(sse, engine, "b", "k", "other")
    assert (texts(sse), texts(sse, "other")) == (["a"], ["b"])


def test_without_a_key_the_same_is_stored_twice(sse: StreamManager, engine: Engine) -> None:
    with Session(engine) as session:
        for _ in range(2):
            sse.send_event("news", "hello", session=session)
        session.commit()
    assert texts(sse) == ["hello", "hello"]


def test_what_goes_on_after_a_repeated_key_is_stored(sse: StreamManager, shop: Shop) -> None:
    publish(sse, shop.engine, "hello", "k")
    with Session(shop.engine) as session:
        shop.order(session, 7)
        sse.send_event("news", "hello", idempotency_key="k", session=session)
        sse.send_event("news", "more", idempotency_key="l", session=session)
        session.commit()
    assert (shop.orders, texts(sse)) == ([7], ["hello", "more"])


@pytest.mark.parametrize("beforehand", ["a new stream", "a stream that is there"])
def test_a_key_that_a_transaction_under_way_has_used_is_waited_for(
    sse: StreamManager,
    other: StreamManager,
    engine: Engine,
    in_background: ThreadPoolExecutor,
    beforehand: str,
) -> None:
    expected = ["hello"]
    if beforehand == "a stream that is there":
        sse.send_event("news", "before")
        expected = ["before", "hello"]
    with Session(engine) as session:
        first = sse.send_event("news", "hello", idempotency_key="k", session=session)
        second = in_background.submit(publish, other, engine, "hello", "k")
        assert stays_undone(second)
        session.commit()
    assert second.result(DEADLINE) == first
    assert texts(sse) == expected


def test_a_key_that_a_transaction_under_way_has_used_is_waited_for_by_others_too(
    sse: StreamManager, other: StreamManager, engine: Engine, in_background: ThreadPoolExecutor
) -> None:
    with Session(engine) as session:
        first = sse.send_event("news", "hello", idempotency_key="k", session=session)
        second = in_background.submit(other.send_event, "news", "hello", idempotency_key="k")
        assert stays_undone(second)
        session.commit()
    assert second.result(DEADLINE) == first
    assert texts(sse) == ["hello"]


def test_a_key_used_since_the_transaction_began_stores_nothing_twice(sse: StreamManager, shop: Shop) -> None:
    """Its snapshot, where it has one, is older than the key."""
    sse.send_event("news", "before")
    with Session(shop.engine) as session:
        assert shop.look(session) == []
        first = sse.send_event("news", "hello", idempotency_key="k")
        assert sse.send_event("news", "hello", idempotency_key="k", session=session) == first
        session.commit()
    assert texts(sse) == ["before", "hello"]


def test_a_stream_that_has_ended_takes_no_events(sse: StreamManager, engine: Engine) -> None:
    sse.send_event("news", "last")
    sse.end_stream("news")
    with Session(engine) as session:
        with pytest.raises(StreamEnded, match="'news'"):
            sse.send_event("news", "more", session=session)
        session.rollback()
    assert texts(sse) == ["last"]


def test_a_stream_that_ended_while_it_was_empty_takes_no_events(sse: StreamManager, engine: Engine) -> None:
    sse.end_stream("news")
    with Session(engine) as session, pytest.raises(StreamEnded):
        sse.send_event("news", "more", session=session)
    assert texts(sse) == []


def test_a_key_from_before_the_end_gives_its_ids_after_it(sse: StreamManager, engine: Engine) -> None:
    first = publish(sse, engine, "last", "k")
    sse.end_stream("news")
    assert publish(sse, engine, "last", "k") == first


def test_an_end_waits_for_what_is_published_in_a_transaction(
    sse: StreamManager, other: StreamManager, engine: Engine, in_background: ThreadPoolExecutor
) -> None:
    with Session(engine) as session:
        sse.send_event("news", "last", session=session)
        ended = in_background.submit(other.end_stream, "news")
        assert stays_undone(ended)
        session.commit()
    ended.result(DEADLINE)
    assert texts(sse) == ["last"]
    with pytest.raises(StreamEnded):
        sse.send_event("news", "more")
