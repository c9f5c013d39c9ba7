"""What is NATS's own: what a server refuses, forgets and holds back."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nats
import pytest
from conftest import NewServer
from nats.js import JetStreamContext
from servers import Server
from streamy_nats import from_url

from streamy_core import OLDEST, BrokerUnavailable, ConfigError, Event, InvalidEvent, StreamEnded
from streamy_core.broker import Broker, Duplicate, ListsStreams, StreamInfo
from streamy_core.testing import MakeBroker
from streamy_core.testing.reading import data_of, events, eventually, read, read_all, tail, wait_for_bell


@pytest.fixture
def broker(make_broker: MakeBroker) -> Iterator[Broker]:
    with make_broker() as broker:
        yield broker


@pytest.fixture
def own_broker(own_server: Server) -> Iterator[Broker]:
    """On a server of the test's own; its timeout is short."""
    with from_url(own_server.url, {"timeout": 0.5}) as broker:
        yield broker


def test_a_bell_rings_for_what_can_be_read(broker: Broker, make_broker: MakeBroker) -> None:
    watch = broker.watch()
    watch.add("news")
    wait_for_bell(watch, "news")
    cursor = tail(broker, "news")
    with make_broker() as other, ThreadPoolExecutor(1) as pool:
        for n in range(100):
            appended = pool.submit(other.append, "news", events(str(n)))
            wait_for_bell(watch, "news")
            page = read(broker, "news", cursor)
            assert data_of(page.entries) == [str(n)]
            cursor = page.cursor
            appended.result()


def test_a_bell_is_heard_from_add_on_whoever_rings_it(broker: Broker, make_broker: MakeBroker) -> None:
    watch = broker.watch()
    with make_broker() as other:
        for n in range(200):
            watch.add(f"s{n}")
            other.append(f"s{n}", events("a"))
            wait_for_bell(watch, f"s{n}")


def test_history_counts_entries_and_not_appends(make_broker: MakeBroker) -> None:
    with make_broker(history=10) as broker:
        for n in range(30):
            broker.append("news", events(*[f"{n} {m}" for m in range(5)]))
        kept = data_of(read_all(broker, "news"))
    assert kept == [f"{n} {m}" for n in range(30 - len(kept) // 5, 30) for m in range(5)]
    assert 10 <= len(kept) <= 20


def test_a_key_is_answered_when_what_it_stored_has_been_trimmed(make_broker: MakeBroker) -> None:
    with make_broker(history=1) as broker:
        first = broker.append("news", events("a"), idempotency_key="k")
        for n in range(10):
            broker.append("news", events(str(n)))
        assert broker.append("news", events("a"), idempotency_key="k") == first


def test_a_repeated_append_is_told_as_a_duplicate(broker: Broker) -> None:
    broker.append("news", events("a"), idempotency_key="k")
    assert isinstance(broker.append("news", events("a"), idempotency_key="k"), Duplicate)
    broker.end("news")
    assert isinstance(broker.append("news", events("a"), idempotency_key="k"), Duplicate)


def test_nothing_is_stored_after_an_end_that_it_races_with(broker: Broker, make_broker: MakeBroker) -> None:
    def publish(which: Broker) -> None:
        while True:
            which.append("news", events("x"))

    with make_broker() as other, ThreadPoolExecutor(4) as pool:
        publishers = [pool.submit(publish, which) for which in (broker, other) * 2]
        eventually(lambda: len(read(broker, "news").entries) > 20, "publishing")
        broker.end("news")
        kept = read_all(broker, "news")
        for publisher in publishers:
            with pytest.raises(StreamEnded):
                publisher.result()
        assert read_all(other, "news") == kept


def test_it_lists_its_streams(broker: Broker) -> None:
    assert isinstance(broker, ListsStreams)
    ids = broker.append("a.b *", events(*"abc")) + broker.append("ü", events("x"))
    broker.end("ü")
    assert list(broker.streams()) == [
        StreamInfo("a.b *", 3, ids[2], ended=False),
        StreamInfo("ü", 1, ids[3], ended=True),
    ]


def test_more_than_the_server_takes_is_refused_before_it_is_sent(own_broker: Broker) -> None:
    with pytest.raises(InvalidEvent, match="max_payload"):
        own_broker.append("news", [Event("x" * 2**20)])
    assert len(own_broker.append("news", [Event("x" * (2**20 - 2_000))])) == 1


def test_a_page_of_several_answers_is_whole(broker: Broker) -> None:
    for letter in "abcdef":
        broker.append("news", [Event(letter * 3 * 2**20)])
    page = read(broker, "news")
    assert [entry.event.data[0] for entry in page.entries] == list("abcdef")


def test_a_server_that_stands_still_is_unavailable(own_broker: Broker, own_server: Server) -> None:
    own_broker.append("news", events("a"))
    own_server.pause()
    with pytest.raises(BrokerUnavailable):
        own_broker.read({"news": OLDEST}, 1)


def test_a_watch_notices_that_the_server_stands_still(own_broker: Broker, own_server: Server) -> None:
    watch = own_broker.watch()
    watch.add("news")
    wait_for_bell(watch, "news")
    own_server.pause()
    with pytest.raises(BrokerUnavailable):
        watch.wait(10)


def test_a_call_under_way_ends_when_its_server_dies(own_server: Server) -> None:
    with from_url(own_server.url, {"timeout": 60}) as broker, ThreadPoolExecutor(1) as pool:
        broker.append("news", events("a"))
        own_server.pause()
        call = pool.submit(broker.tail, "news")
        while not call.running():
            time.sleep(0.001)
        own_server.stop()
        assert isinstance(call.exception(10), BrokerUnavailable)


def test_what_somebody_deleted_is_a_gap_and_publishing_goes_on(
    own_broker: Broker, own_server: Server
) -> None:
    (old,) = own_broker.append("news", events("a"))
    in_nats(own_server, lambda stream: stream.delete_stream("streamy"))
    eventually(lambda: publishes(own_broker), "publishing again")
    page = read(own_broker, "news", old)
    assert page.gap
    assert data_of(read_all(own_broker, "news", page.cursor)) == ["b"]


def test_somebody_elses_stream_is_left_alone(own_broker: Broker, own_server: Server) -> None:
    in_nats(own_server, lambda stream: stream.add_stream(name="streamy", subjects=["orders"]))
    with pytest.raises(ConfigError, match="prefix"):
        own_broker.append("news", events("a"))


def test_a_refused_login_is_no_passing_fault(new_server: NewServer) -> None:
    server = new_server("authorization { user: app, password: right }")
    login = server.url.replace("//", "//app:{}@")
    with from_url(login.format("right"), {}) as broker:
        assert publishes(broker)
    with from_url(login.format("wrong"), {}) as broker, pytest.raises(ConfigError, match="login"):
        broker.append("news", events("c"))


def test_it_works_where_gevent_has_patched_the_threads(own_server: Server) -> None:
    pytest.importorskip("gevent")
    program = Path(__file__).with_name("greenlets.py")
    done = subprocess.run(
        [sys.executable, str(program), own_server.url], capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stdout) == (0, "heard, and read 20\n"), done.stderr


def publishes(broker: Broker) -> bool:
    """Whether the broker takes an event."""
    try:
        return len(broker.append("news", events("b"))) == 1
    except BrokerUnavailable:
        return False


def in_nats(server: Server, do: Callable[[JetStreamContext], Awaitable[object]]) -> None:
    """Do this in JetStream, as somebody else."""

    async def connected() -> None:
        client = await nats.connect(server.url)
        await do(client.jetstream())
        await client.close()

    asyncio.run(connected())
