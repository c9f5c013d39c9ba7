"""Subscriptions read entries in Python as clients do over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from streamy_backends.memory import Limits
from streamy_core import GAP, OLDEST, BrokerUnavailable, StreamManager
from streamy_core.engine.hub import Hub
from streamy_core.engine.reader import Reader
from streamy_core.engine.subscription import Subscription
from streamy_core.strategies import NoRetry
from streamy_core.testing.reading import DEADLINE, events

from .doubles import FaultyBroker


@pytest.fixture
def sse(broker: FaultyBroker) -> Iterator[StreamManager]:
    manager = StreamManager(broker=broker)
    yield manager
    manager.close()


def test_it_reads_from_the_call_of_subscribe_on(sse: StreamManager) -> None:
    sse.send_event("news", "before")
    with sse.subscribe("news") as entries:
        sse.send_event("news", "after", "name")
        entry = next(entries)
    assert (entry.stream_id, entry.event.data, entry.event.name) == ("news", "after", "name")


def test_after_an_id_it_goes_on_behind_that_entry(sse: StreamManager) -> None:
    first, *_ = sse.send_events("news", ["a", "b", "c"])
    with sse.subscribe("news", after=first) as entries:
        assert [next(entries).event.data for _ in range(2)] == ["b", "c"]


def test_from_the_oldest_it_reads_all_that_is_kept(sse: StreamManager) -> None:
    data = [str(n) for n in range(1000)]
    sse.send_events("news", data)
    with sse.subscribe("news", after=OLDEST) as entries:
        assert [next(entries).event.data for _ in data] == data


def test_it_stops_when_all_streams_have_ended(sse: StreamManager) -> None:
    entries = sse.subscribe(["a", "b"])
    sse.send_event("a", "1")
    sse.end_stream("a")
    sse.send_event("b", "2")
    sse.end_stream("b")
    assert sorted(entry.event.data for entry in entries) == ["1", "2"]


def test_it_stops_at_once_when_the_end_was_seen(sse: StreamManager, broker: FaultyBroker) -> None:
    sse.end_stream("news")
    end = broker.read({"news": OLDEST}, 1)["news"].cursor
    assert list(sse.subscribe("news", after=end)) == []


def test_a_gap_is_an_entry_that_says_from_where_to_where() -> None:
    with FaultyBroker(Limits(history=2)) as broker:
        sse = StreamManager(broker=broker)
        first = sse.send_event("news", "a")
        sse.send_events("news", ["b", "c", "d"])
        with sse.subscribe("news", after=first) as entries:
            gap, *rest = [next(entries) for _ in range(3)]
        assert gap.event.name == GAP
        assert json.loads(gap.event.data) == {"stream": "news", "from": first, "to": gap.id}
        assert [entry.event.data for entry in rest] == ["c", "d"]
        sse.close()


def test_next_returns_none_after_its_timeout(sse: StreamManager) -> None:
    with sse.subscribe("news") as entries:
        assert entries.next(timeout=0.01) is None
        sse.send_event("news", "a")
        assert entries.next(timeout=DEADLINE) is not None


@pytest.mark.parametrize("what", ["subscription", "manager"])
def test_closing_ends_an_iteration_under_way(sse: StreamManager, what: str) -> None:
    entries = sse.subscribe("news")
    begun = threading.Event()

    def iterate() -> list[object]:
        begun.set()
        return list(entries)

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(iterate)
        assert begun.wait(DEADLINE)
        (entries if what == "subscription" else sse).close()
        assert reading.result(DEADLINE) == []


def test_closing_leaves_nothing_watched(sse: StreamManager) -> None:
    entries = sse.subscribe(["a", "b"])
    assert sse.health.streams == 2
    entries.close()
    assert sse.health.streams == 0


def test_when_the_policy_gives_up_it_says_so_and_can_go_on(broker: FaultyBroker) -> None:
    sse = StreamManager(broker=broker, retry=NoRetry(), window_entries=1)
    first, *_ = sse.send_events("news", [str(n) for n in range(200)])
    entries = sse.subscribe("news", after=first)
    for n in range(1, 101):
        assert next(entries).event.data == str(n)
    broker.away.set()
    with pytest.raises(BrokerUnavailable):
        next(entries)
    broker.away.clear()
    assert next(entries).event.data == "101"
    sse.close()


def test_once_the_process_stops_a_subscription_gives_what_there_is_and_ends(
    broker: FaultyBroker, hub: Hub
) -> None:
    first, *_ = broker.append("news", events("a", "b"))
    hub.stop()
    subscription = Subscription(Reader.open(hub, {"news": first}), retry=NoRetry())
    assert [entry.event.data for entry in subscription] == ["b"]
    assert list(Subscription(Reader.open(hub, {"news": None}), retry=NoRetry())) == []
