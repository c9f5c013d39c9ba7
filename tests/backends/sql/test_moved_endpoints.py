"""Endpoints that lead to another server while connections to the old one, which takes no writes, stay up."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from streamy_core import BrokerUnavailable, PublishFailed
from streamy_core.strategies import NoRetry
from streamy_core.testing.reading import data_of, events, eventually, read_all

from ..conftest import NewBroker, NewManager
from ..promises.moving import MovingPromises, heard, publish_until_it_works, texts
from .conftest import SERVERS, NewEngine, OwnServer
from .moving import Pair, pair_of

pytestmark = pytest.mark.slow


@pytest.fixture(params=SERVERS)
def pair(request: pytest.FixtureRequest, own_server: OwnServer, prefix: str) -> Iterator[Pair]:
    with pair_of(request.param, own_server, prefix) as pair:
        yield pair


class TestMoving(MovingPromises):
    pass


@pytest.mark.parametrize("by", ["the broker's engine", "the app's engine"])
def test_publishing_works_at_once_after_the_endpoint_has_moved_to_a_server_that_takes_writes(
    pair: Pair, new_manager: NewManager, new_engine: NewEngine, by: str
) -> None:
    url, own = ("sql:", {"engine": new_engine(pair.url)}) if by == "the app's engine" else (pair.url, {})
    sse = new_manager(url, retry=NoRetry(), **own)
    sse.send_event("news", "a")
    pair.demote()
    with pytest.raises(PublishFailed, match="read-only"):
        sse.send_event("news", "refused")
    pair.move()
    publish_until_it_works(sse, "b")
    assert texts(new_manager(pair.new_url)) == ["before", "b"]


@pytest.mark.parametrize("notify", [True, False])
def test_a_process_that_only_reads_hears_of_the_new_server(
    pair: Pair, new_manager: NewManager, caplog: pytest.LogCaptureFixture, notify: bool
) -> None:
    sse = new_manager(pair.url, notify=notify)
    writer = new_manager(pair.new_url, notify=notify)
    with caplog.at_level(logging.WARNING, logger="streamy.sql"), sse.subscribe("news") as subscription:
        eventually(lambda: sse.health.streams == 1, "a stream that is watched")
        pair.demote()
        pair.move()
        writer.send_event("news", "a")
        heard(subscription, "a")
        writer.send_event("news", "b")
        assert heard(subscription, "b") < 1.5
        assert not sse.health.failing
    assert "takes no writes" in caplog.text


def test_a_process_that_publishes_and_reads_has_its_bell_led_to_the_new_server(
    pair: Pair, new_manager: NewManager
) -> None:
    sse, writer = new_manager(pair.url), new_manager(pair.new_url)
    with sse.subscribe("news") as subscription:
        eventually(lambda: sse.health.streams == 1, "a stream that is watched")
        pair.demote()
        pair.move()
        sse.send_event("news", "a")
        writer.send_event("news", "b")
        assert heard(subscription, "a") + heard(subscription, "b") < 1.5


def test_a_session_that_is_refused_writes_leaves_its_engine_to_connect_anew(
    pair: Pair, new_manager: NewManager, new_engine: NewEngine
) -> None:
    engine, sse = new_engine(pair.url), new_manager(pair.url)
    with Session(engine) as session:
        session.execute(text("SELECT 1"))
    pair.demote()
    with Session(engine) as session, pytest.raises(PublishFailed, match="read-only"):
        sse.send_event("news", "refused", session=session)
    pair.move()
    with Session(engine) as session:
        sse.send_event("news", "a", session=session)
        session.commit()
    assert texts(new_manager(pair.new_url)) == ["before", "a"]


def test_who_began_at_a_hot_standby_publishes_and_hears_once_the_endpoint_leads_to_the_primary(
    own_server: OwnServer, prefix: str, new_manager: NewManager
) -> None:
    with pair_of("postgresql", own_server, prefix, standby=True) as pair:
        sse = new_manager(pair.url, retry=NoRetry())
        with sse.subscribe("news") as subscription:
            with pytest.raises(PublishFailed, match="read-only"):
                sse.send_event("news", "refused")
            eventually(lambda: sse.health.failing, "a bell that can't be listened to")
            pair.move()
            publish_until_it_works(sse, "a")
            heard(subscription, "a")


def test_a_hot_standby_that_is_promoted_is_published_to(
    own_server: OwnServer, prefix: str, new_broker: NewBroker
) -> None:
    with pair_of("postgresql", own_server, prefix, standby=True) as pair:
        broker = new_broker(pair.url)
        with pytest.raises(BrokerUnavailable, match="read-only"):
            broker.append("news", events("refused"))
        pair.old.execute("SELECT pg_promote()")
        broker.append("news", events("a"))
        assert data_of(read_all(broker, "news")) == ["before", "a"]
