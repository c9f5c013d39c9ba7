"""The doubles remember what is published, and fail when they are told to."""

from __future__ import annotations

from inspect import getattr_static
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from streamy_core import BrokerUnavailable, Event, PublishFailed, StreamManager
from streamy_core.broker import AppendsWithin, HasTables, KeepsMeta
from streamy_core.plugins import open_broker
from streamy_core.strategies import FixedDelay
from streamy_core.testing import FaultyBroker, ManualClock
from streamy_core.testing.doubles import RecordingBroker
from streamy_core.testing.namespaced import Namespaced
from streamy_core.testing.reading import data_of, events, read_all, wait_for_bell


@pytest.fixture
def sse(streamy_broker: FaultyBroker) -> StreamManager:
    return StreamManager(broker=streamy_broker, retry=FixedDelay(0.001, retries=2))


def test_what_was_published_is_known(sse: StreamManager, streamy_broker: FaultyBroker) -> None:
    sse.send_event("news", "a")
    sse.send_event("news", {"b": 1}, "named")
    sse.end_stream("news")
    assert streamy_broker.published("news") == ["a", '{"b": 1}']
    assert streamy_broker.events("news")[1] == Event('{"b": 1}', "named")
    assert streamy_broker.published("other") == []
    assert streamy_broker.ended == ["news"]


def test_what_was_stored_once_is_known_once(sse: StreamManager, streamy_broker: FaultyBroker) -> None:
    sse.send_event("news", "a", idempotency_key="k")
    sse.send_event("news", "a", idempotency_key="k")
    assert streamy_broker.published("news") == ["a"]


def test_an_append_that_fails_is_tried_again(sse: StreamManager, streamy_broker: FaultyBroker) -> None:
    streamy_broker.fail_next_append(times=2)
    sse.send_event("news", "a")
    assert streamy_broker.published("news") == ["a"]


def test_an_append_that_fails_too_often_raises(sse: StreamManager, streamy_broker: FaultyBroker) -> None:
    streamy_broker.fail_next_append(times=3)
    with pytest.raises(PublishFailed):
        sse.send_event("news", "a")
    assert streamy_broker.published("news") == []


def test_a_lost_answer_stores_once(sse: StreamManager, streamy_broker: FaultyBroker) -> None:
    streamy_broker.fail_next_append(stored=True)
    entry_id = sse.send_event("news", "a")
    assert [entry.id for entry in read_all(streamy_broker, "news")] == [entry_id]


def test_a_lost_bell_is_made_good_by_the_next(streamy_broker: FaultyBroker) -> None:
    watch = streamy_broker.watch()
    watch.add("news")
    streamy_broker.lose_next_bell()
    streamy_broker.append("news", events("unheard"))
    assert not watch.wait(0.05)
    streamy_broker.append("news", events("heard"))
    wait_for_bell(watch, "news")


def test_a_broker_that_is_away_says_so_until_it_is_back(streamy_broker: FaultyBroker) -> None:
    streamy_broker.append("news", events("a"))
    watch = streamy_broker.watch()
    streamy_broker.go_away()
    for call in (
        lambda: streamy_broker.append("news", events("b")),
        lambda: streamy_broker.read({"news": ""}, 1),
        lambda: streamy_broker.tail(["news"]),
        lambda: streamy_broker.end("news"),
        lambda: streamy_broker.watch(),
        lambda: watch.wait(0),
    ):
        with pytest.raises(BrokerUnavailable):
            call()
    streamy_broker.come_back()
    assert data_of(read_all(streamy_broker, "news")) == ["a"]


def test_names_in_a_space_are_as_if_it_were_alone() -> None:
    with open_broker("memory://") as broker:
        one, other = Namespaced(broker, "one:"), Namespaced(broker, "other:")
        one.append("news", events("a"))
        other.append("news", events("b"))
        assert [info.stream_id for info in one.streams()] == ["news"]
        assert data_of(read_all(one, "news")) == ["a"]
        assert {info.stream_id for info in broker.streams()} == {"one:news", "other:news"}


def test_a_double_can_do_what_its_inner_broker_can() -> None:
    with RecordingBroker(open_broker("memory://")) as double:
        double.append("news", events("a"))
        assert [info.stream_id for info in double.streams()] == ["news"]
        assert not hasattr(double, "append_within")


def test_the_clock_goes_on_when_told(streamy_clock: ManualClock) -> None:
    start = streamy_clock()
    streamy_clock.advance(5)
    streamy_clock.sleep(2.5)
    assert streamy_clock() - start == 7.5
    assert streamy_clock.slept == [2.5]


def test_a_double_is_told_by_its_capabilities_like_its_inner_broker(tmp_path: Path) -> None:
    with FaultyBroker(Namespaced(open_broker(f"sqlite:///{tmp_path}/streams.db"), "x:", owns=True)) as double:
        assert getattr_static(double, "append_within", None) is not None
        assert isinstance(double, AppendsWithin)
        assert isinstance(double, HasTables)
        assert isinstance(double, KeepsMeta)
    with FaultyBroker(open_broker("memory://")) as double:
        assert not isinstance(double, AppendsWithin)


def test_publishing_in_a_transaction_fails_on_demand_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/streams.db"
    with FaultyBroker(open_broker(url)) as double, create_engine(url).connect() as connection:
        sse = StreamManager(broker=double)
        double.fail_next_append()
        with pytest.raises(PublishFailed, match="attempt: this append was told to fail"):
            sse.send_event("news", "a", session=connection)
        sse.send_event("news", "b", session=connection)
        connection.commit()
        assert data_of(read_all(double, "news")) == ["b"]
        connection.engine.dispose()
