"""Publishing is part of the app's own transaction: it happens when that commits, or not at all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from streamy_core import Event, StreamManager
from streamy_core.ids import sequence_of
from streamy_core.testing.reading import data_of, read_all

from .conftest import by_each_driver, with_driver
from .shop import WAYS, Shop, Way, names, next_of, texts

pytestmark = by_each_driver


def test_an_event_is_there_when_the_transaction_commits_and_not_before(
    sse: StreamManager, other: StreamManager, engine: Engine, way: Way
) -> None:
    with way(engine) as (session, commit, _):
        sse.send_event("news", "hello", session=session)
        assert (texts(sse), texts(other)) == ([], [])
        commit()
        assert (texts(sse), texts(other)) == (["hello"], ["hello"])


def test_a_rollback_leaves_nothing_not_even_the_stream(sse: StreamManager, engine: Engine, way: Way) -> None:
    with way(engine) as (session, _, rollback):
        sse.send_event("news", "never", session=session)
        rollback()
    assert (texts(sse), names(sse)) == ([], [])


def test_a_rollback_leaves_nothing_not_even_a_hole(sse: StreamManager, engine: Engine, way: Way) -> None:
    before = sse.send_event("news", "before")
    with way(engine) as (session, _, rollback):
        sse.send_events("news", ["never", "nor this"], session=session)
        rollback()
    after = sse.send_event("news", "after")
    assert [sequence_of(before), sequence_of(after)] == [1, 2]
    assert texts(sse) == ["before", "after"]


def test_a_session_that_is_closed_without_a_commit_leaves_nothing(
    sse: StreamManager, engine: Engine, way: Way
) -> None:
    with way(engine) as (session, _, _):
        sse.send_event("news", "never", session=session)
    assert names(sse) == []


def test_subscribers_everywhere_get_an_event_live_once_it_is_committed(
    sse: StreamManager, other: StreamManager, engine: Engine
) -> None:
    with sse.subscribe("news") as here, other.subscribe("news") as there, Session(engine) as session:
        sse.send_event("news", "hello", session=session)
        assert (here.next(0.1), there.next(0.1)) == (None, None)
        session.commit()
        assert (next_of(here), next_of(there)) == ("hello", "hello")


def test_subscribers_never_get_what_is_rolled_back(
    sse: StreamManager, other: StreamManager, engine: Engine
) -> None:
    with sse.subscribe("news") as here, other.subscribe("news") as there, Session(engine) as session:
        sse.send_event("news", "never", session=session)
        session.rollback()
        sse.send_event("news", "hello", session=session)
        session.commit()
        assert (next_of(here), next_of(there)) == ("hello", "hello")


def test_an_order_and_its_event_are_both_there_after_a_commit(
    sse: StreamManager, shop: Shop, way: Way
) -> None:
    with way(shop.engine) as (session, commit, _):
        shop.order(session, 7)
        sse.send_event("orders", {"number": 7}, session=session)
        assert (shop.orders, texts(sse, "orders")) == ([], [])
        commit()
    assert (shop.orders, texts(sse, "orders")) == ([7], ['{"number": 7}'])


def test_an_order_and_its_event_are_both_gone_after_a_rollback(
    sse: StreamManager, shop: Shop, way: Way
) -> None:
    with way(shop.engine) as (session, _, rollback):
        sse.send_event("orders", {"number": 7}, session=session)
        shop.order(session, 7)
        rollback()
    assert (shop.orders, texts(sse, "orders")) == ([], [])


def test_an_error_of_the_apps_takes_the_event_with_it(sse: StreamManager, engine: Engine) -> None:
    def fail() -> None:
        with Session(engine) as session, session.begin():
            sse.send_event("news", "never", session=session)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert texts(sse) == []


@pytest.mark.parametrize("nested", ["savepoint of a session", "savepoint of a connection"])
def test_a_savepoint_is_rolled_back_alone(sse: StreamManager, shop: Shop, nested: str) -> None:
    with WAYS["a session" if "session" in nested else "a connection"](shop.engine) as (session, commit, _):
        shop.order(session, 7)
        sse.send_event("news", "first", session=session)
        savepoint = session.begin_nested()
        sse.send_event("news", "never", session=session)
        sse.send_event("other", "nor this", session=session)
        savepoint.rollback()
        last = sse.send_event("news", "last", session=session)
        commit()
    assert (shop.orders, texts(sse), names(sse)) == ([7], ["first", "last"], ["news"])
    assert sequence_of(last) == 2


def test_what_a_savepoint_keeps_is_committed_with_the_rest(sse: StreamManager, shop: Shop) -> None:
    with Session(shop.engine) as session:
        shop.order(session, 7)
        with session.begin_nested():
            sse.send_event("news", "hello", session=session)
        assert texts(sse) == []
        session.commit()
    assert texts(sse) == ["hello"]


def test_many_events_in_many_streams_appear_at_once_in_order(sse: StreamManager, engine: Engine) -> None:
    with Session(engine) as session:
        for round_ in "ab":
            for stream in ("x", "y", "z"):
                sse.send_events(stream, [f"{stream}{round_}{n}" for n in (1, 2)], session=session)
        assert names(sse) == []
        session.commit()
    assert [texts(sse, s) for s in "xyz"] == [[f"{s}{r}{n}" for r in "ab" for n in (1, 2)] for s in "xyz"]


def test_the_ids_are_those_that_readers_get(sse: StreamManager, engine: Engine) -> None:
    with Session(engine) as session:
        ids = [sse.send_event("news", "1", session=session)]
        ids += sse.send_events("news", ["2", Event("3", "named", 500)], session=session)
        session.commit()
    found = read_all(sse.broker, "news")
    assert [entry.id for entry in found] == ids
    assert found[2].event == Event("3", "named", 500)


def test_a_page_that_is_shown_within_the_transaction_can_be_resumed_from(
    sse: StreamManager, engine: Engine
) -> None:
    with Session(engine) as session:
        place = sse.send_event("news", "shown", session=session)
        session.commit()
    sse.send_event("news", "later")
    assert data_of(read_all(sse.broker, "news", place)) == ["later"]


def test_no_events_do_nothing(sse: StreamManager, engine: Engine) -> None:
    with Session(engine) as session:
        assert sse.send_events("news", [], session=session) == []
        session.commit()
    assert names(sse) == []


@pytest.mark.parametrize("data", ["", "% %s %(name)s :name ? \\ '\"`", "ü \U0001f600\r\n", "x" * 500_000])
def test_any_text_is_stored_as_it_is(sse: StreamManager, engine: Engine, data: str) -> None:
    with Session(engine) as session:
        sse.send_event("50 % 'ü' :x", data, "na%me", session=session)
        session.commit()
    assert texts(sse, "50 % 'ü' :x") == [data]


def test_what_is_published_besides_goes_on_behind_what_was_committed(
    sse: StreamManager, other: StreamManager, engine: Engine
) -> None:
    with Session(engine) as session:
        for n in range(3):
            sse.send_event("news", f"session {n}", session=session)
            session.commit()
            other.send_event("news", f"alone {n}")
    assert texts(sse) == [f"{who} {n}" for n in range(3) for who in ("session", "alone")]
    assert [sequence_of(entry.id) for entry in read_all(sse.broker, "news")] == [1, 2, 3, 4, 5, 6]


@pytest.fixture
def app(url: str, prefix: str) -> Iterator[Flask]:
    """An app that publishes in requests, by the session of Flask-SQLAlchemy."""
    app = Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = with_driver(url)
    app.config["STREAMY_BROKER_URL"] = url
    app.config["STREAMY_BROKER_OPTIONS"] = {"table_prefix": prefix}
    db = SQLAlchemy(app)
    app.extensions["shop"] = sse = StreamManager(app)

    @app.post("/<int:number>")
    def order(number: int) -> str:
        shop = Shop(db.engine, prefix)
        sse.send_event("orders", str(number), session=db.session)
        shop.order(db.session, number)
        db.session.flush()
        if number == 13:
            raise ValueError("not this one")
        db.session.commit()
        return str(shop.orders)

    yield app
    sse.close()
    with app.app_context():
        db.engine.dispose()


def test_a_request_publishes_by_the_session_of_flask_sqlalchemy(app: Flask, sse: StreamManager) -> None:
    with sse.subscribe("orders") as subscription:
        assert app.test_client().post("/7").text == "[7]"
        assert next_of(subscription) == "7"


def test_a_request_that_fails_publishes_nothing(app: Flask, sse: StreamManager) -> None:
    client = app.test_client()
    assert client.post("/1").status_code == 200
    assert client.post("/1").status_code == 500, "the same order twice"
    assert client.post("/13").status_code == 500
    assert client.post("/3").text == "[1, 3]"
    assert texts(sse, "orders") == ["1", "3"]
