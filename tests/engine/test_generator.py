"""Delivery by a WSGI iterable: what it holds, when it ends, and what it leaves behind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from streamy_core import FixedInterval, Never, StreamManager
from streamy_core.delivery.connection import Connection
from streamy_core.delivery.generator import EventStreamBody
from streamy_core.testing.reading import DEADLINE, events, eventually

from .doubles import FaultyBroker

MakeBody = Callable[..., EventStreamBody]


@pytest.fixture
def make_sse(broker: FaultyBroker) -> Iterator[Callable[..., StreamManager]]:
    made = []

    def make(**settings: Any) -> StreamManager:
        made.append(StreamManager(broker=broker, **settings))
        return made[-1]

    yield make
    for manager in made:
        manager.close()


def body_of(
    sse: StreamManager, *names: str, interval: float | None = None, key: str | None = None
) -> EventStreamBody:
    binding = sse.binding
    wanted = dict.fromkeys(names or ("news",))
    connection = Connection(binding.hub, wanted, default_name="message", retry=1)
    return binding.delivery.body(connection, None, FixedInterval(interval) if interval else Never(), key)


def data_of(chunk: bytes) -> list[str]:
    return [found.decode() for found in re.findall(rb"^data: (.*)$", chunk, re.MULTILINE)]


def test_a_body_that_is_never_read_takes_up_nothing(make_sse: Callable[..., StreamManager]) -> None:
    sse = make_sse()
    body = body_of(sse)
    assert (sse.health.streams, len(sse.binding.delivery)) == (0, 0)
    body.close()
    assert list(body) == []


def test_a_body_that_is_closed_leaves_nothing(make_sse: Callable[..., StreamManager]) -> None:
    sse = make_sse()
    body = body_of(sse)
    next(body)
    assert (sse.health.streams, len(sse.binding.delivery)) == (1, 1)
    body.close()
    body.close()
    assert (sse.health.streams, len(sse.binding.delivery)) == (0, 0)


def test_closing_a_body_that_was_given_away_does_not_detach_its_connection(
    make_sse: Callable[..., StreamManager],
) -> None:
    sse = make_sse()
    body = body_of(sse)
    body.connection.attach(lambda: None)
    body.close()
    assert sse.health.streams == 1


def test_all_that_is_due_comes_joined(make_sse: Callable[..., StreamManager], broker: FaultyBroker) -> None:
    sse = make_sse()
    body = body_of(sse)
    next(body)
    broker.append("news", events(*map(str, range(50))))
    eventually(
        lambda: sse.binding.hub.distance("news", body.connection.places["news"]) == 50, "the hub has read"
    )
    assert data_of(next(body)) == [str(n) for n in range(50)]


def test_an_idle_client_gets_keep_alives(make_sse: Callable[..., StreamManager]) -> None:
    body = body_of(make_sse(), interval=0.01)
    next(body)
    assert [next(body) for _ in range(3)] == [b": keep-alive\n\n"] * 3


def test_past_the_slots_a_client_gets_what_it_missed_and_is_told_to_come_back(
    make_sse: Callable[..., StreamManager], broker: FaultyBroker
) -> None:
    sse = make_sse(generator_slots=1)
    staying, passing = body_of(sse), body_of(sse)
    next(staying)
    broker.append("news", events("missed"))
    chunks = list(passing)
    assert data_of(b"".join(chunks)) == ["missed"]
    assert re.fullmatch(rb"retry: \d+\n\n", chunks[-1])
    staying.close()
    after = body_of(sse)
    next(after)
    assert len(sse.binding.delivery) == 1, "the slot that was freed is used again"


@pytest.mark.parametrize(
    ("limit", "keys"), [("max_connections", ("a", "b")), ("max_connections_per_key", ("a", "a"))]
)
def test_past_a_limit_the_service_is_short_too(
    make_sse: Callable[..., StreamManager], limit: str, keys: tuple[str, str]
) -> None:
    sse = make_sse(**{limit: 1})
    staying, passing = (body_of(sse, key=key) for key in keys)
    next(staying)
    assert list(passing)[-1].startswith(b"retry: ")
    staying.close()
    assert len(sse.binding.delivery) == 0


def test_another_key_is_not_limited(make_sse: Callable[..., StreamManager]) -> None:
    sse = make_sse(max_connections_per_key=1)
    for key in ("a", "b"):
        next(body_of(sse, key=key))
    assert len(sse.binding.delivery) == 2


def test_a_client_that_is_too_old_is_told_to_come_back(make_sse: Callable[..., StreamManager]) -> None:
    body = body_of(make_sse(max_age=0.02))
    assert list(body)[-1].startswith(b"retry: ")


def test_an_order_sends_clients_away_by_key(
    make_sse: Callable[..., StreamManager], broker: FaultyBroker
) -> None:
    sse = make_sse()
    ann, bob = body_of(sse, key="ann"), body_of(sse, key="bob")
    next(ann), next(bob)
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(list, ann)
        sse.disconnect(key="ann")
        assert rest.result(DEADLINE)[-1].startswith(b"retry: ")
    broker.append("news", events("for those who stay"))
    assert data_of(next(bob)) == ["for those who stay"]


def test_an_order_reaches_every_process(make_sse: Callable[..., StreamManager]) -> None:
    here, there = make_sse(), make_sse()
    body = body_of(there, "news")
    next(body)
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(list, body)
        here.disconnect(stream_id="news")
        assert rest.result(DEADLINE)[-1].startswith(b"retry: ")


def test_closing_the_manager_says_goodbye(make_sse: Callable[..., StreamManager]) -> None:
    sse = make_sse()
    body = body_of(sse)
    next(body)
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(list, body)
        sse.close()
        assert rest.result(DEADLINE)[-1].startswith(b"retry: ")


def test_a_client_that_lags_rides_out_an_outage(
    make_sse: Callable[..., StreamManager], broker: FaultyBroker, caplog: pytest.LogCaptureFixture
) -> None:
    sse = make_sse(window_entries=1, retry_policy=None, max_retries=1000)
    body = body_of(sse)
    next(body)
    broker.append("news", events(*map(str, range(10))))
    eventually(lambda: sse.binding.hub.distance("news", body.connection.places["news"]) is None, "it lags")
    broker.away.set()
    with ThreadPoolExecutor(1) as pool:
        chunk = pool.submit(next, body)
        eventually(lambda: "catching up failed" in caplog.text, "the outage has been met")
        broker.away.clear()
        assert data_of(chunk.result(DEADLINE)) == [str(n) for n in range(10)]
