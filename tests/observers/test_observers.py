"""Whoever listens is told of everything that happens, and can harm nobody."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from streamy_backends.memory import Limits, MemoryBroker
from streamy_core import OLDEST, PublishFailed, StreamEnded, StreamManager
from streamy_core.observers import Observer, Observers
from streamy_core.observers.words import DisconnectReason, GapCause, PublishOutcome
from streamy_core.strategies import FixedDelay, NoRetry
from streamy_core.testing import FaultyBroker
from streamy_core.testing.reading import eventually


class Hearing(Observer):
    """Remembers everything that it was told, by the method's name."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, tuple[Any, ...]]] = []

    def of(self, name: str) -> list[tuple[Any, ...]]:
        return [what for method, what in self.heard if method == name]


def _remembering(name: str) -> Any:
    def remember(self: Hearing, *what: Any) -> None:
        self.heard.append((name, what))

    return remember


METHODS = [name for name in vars(Observer) if not name.startswith("_")]
for method in METHODS:
    setattr(Hearing, method, _remembering(method))


@pytest.fixture
def hearing() -> Hearing:
    return Hearing()


@pytest.fixture
def broker() -> Iterator[FaultyBroker]:
    with FaultyBroker(MemoryBroker(Limits(history=5))) as broker:
        yield broker


@pytest.fixture
def sse(hearing: Hearing, broker: FaultyBroker) -> Iterator[StreamManager]:
    with StreamManager(broker=broker, observers=[hearing], retry=FixedDelay(0.0, retries=1)) as sse:
        yield sse


def outcomes(hearing: Hearing) -> list[tuple[str, PublishOutcome, int]]:
    return [what[:3] for what in hearing.of("published")]


def test_what_is_stored_is_told_with_its_stream_and_its_seconds(sse: StreamManager, hearing: Hearing) -> None:
    sse.send_events("news", ["a", "b"])
    ((stream_id, outcome, count, seconds, error),) = hearing.of("published")
    assert (stream_id, outcome, count, error) == ("news", PublishOutcome.STORED, 2, None)
    assert 0 <= seconds < 10


def test_a_repeated_key_is_told_as_a_duplicate(sse: StreamManager, hearing: Hearing) -> None:
    for _ in range(2):
        sse.send_event("news", "a", idempotency_key="k")
    assert outcomes(hearing) == [
        ("news", PublishOutcome.STORED, 1),
        ("news", PublishOutcome.DUPLICATE, 1),
    ]


def test_publishing_to_an_ended_stream_is_told(sse: StreamManager, hearing: Hearing) -> None:
    sse.end_stream("news")
    with pytest.raises(StreamEnded):
        sse.send_event("news", "a")
    assert outcomes(hearing) == [("news", PublishOutcome.ENDED, 1)]


def test_another_attempt_and_giving_up_are_told_with_their_error(
    sse: StreamManager, hearing: Hearing, broker: FaultyBroker
) -> None:
    broker.fail_next_append(2)
    with pytest.raises(PublishFailed) as failure:
        sse.send_event("news", "a")
    ((stream_id, attempt, delay, error),) = hearing.of("publish_retried")
    assert (stream_id, attempt, delay) == ("news", 1, 0.0)
    assert "told to fail" in str(error)
    assert hearing.of("published")[-1][1] is PublishOutcome.FAILED
    assert hearing.of("published")[-1][4] is failure.value


def test_a_stream_that_can_not_be_ended_is_told(broker: FaultyBroker, hearing: Hearing) -> None:
    with StreamManager(broker=broker, observers=[hearing], retry=NoRetry()) as sse:
        broker.go_away()
        with pytest.raises(PublishFailed):
            sse.end_stream("news")
        broker.come_back()
    assert outcomes(hearing) == [("news", PublishOutcome.FAILED, 0)]


def test_a_failed_read_and_its_recovery_are_told(
    sse: StreamManager, hearing: Hearing, broker: FaultyBroker
) -> None:
    with sse.subscribe("news") as entries:
        sse.send_event("news", "a")
        assert entries.next(10)
        broker.go_away()
        eventually(lambda: hearing.of("read_failed"), "the outage has been told")
        broker.come_back()
        eventually(lambda: hearing.of("read_recovered"), "its end has been told")


@pytest.mark.usefixtures("hurried")
def test_a_missed_bell_is_told(hearing: Hearing, broker: FaultyBroker) -> None:
    with (
        StreamManager(broker=broker, observers=[hearing], watchdog_interval=0.05) as sse,
        sse.subscribe("news") as entries,
    ):
        sse.send_event("news", "a")
        assert entries.next(10)
        broker.lose_next_bell()
        sse.send_event("news", "b")
        assert entries.next(10)
        eventually(lambda: hearing.of("bells_missed") == [(1,)], "the missed bell has been told")


def test_how_long_the_canary_takes_is_told_once_it_has_begun(sse: StreamManager, hearing: Hearing) -> None:
    sse.send_event("news", "a")
    assert not hearing.of("bell_heard")
    sse.binding.engine.canary.start()
    eventually(lambda: hearing.of("bell_heard"), "it is told")
    ((seconds,),) = hearing.of("bell_heard")
    assert 0 <= seconds == sse.health.bell_seconds
    assert len(hearing.of("published")) == 1, "the canary's entries are nobody's business"


def test_gaps_are_told_with_their_cause(sse: StreamManager, hearing: Hearing) -> None:
    (first, *_) = sse.send_events("news", [str(number) for number in range(10)])
    with MemoryBroker() as other:
        (foreign,) = other.append("news", [])[:1] or [f"zzzzz{first[5:]}"]
    for cursor in (first, foreign, "é"):
        sse.subscribe("news", after=cursor).close()
    assert [(what[0], what[1], what[3]) for what in hearing.of("gap")] == [
        ("news", first, GapCause.TRIMMED),
        ("news", foreign, GapCause.OTHER_HISTORY),
        ("news", "é", GapCause.UNKNOWN),
    ]


def test_an_end_is_told_once(sse: StreamManager, hearing: Hearing) -> None:
    sse.end_stream("news")
    for _ in range(3):
        sse.subscribe("news", after=OLDEST).close()
    assert hearing.of("stream_ended") == [("news",)]


def test_clients_and_chunks_are_told(sse: StreamManager, hearing: Hearing) -> None:
    from flask import Flask

    app = Flask(__name__)
    sse.init_app(app)
    with app.test_request_context():
        body = iter(sse.get_stream("news", key="me").response)
        opening = next(body)
        sse.send_event("news", "a")
        data = next(body)
        body.close()  # type: ignore[attr-defined]
    ((client, delivery),) = hearing.of("connected")
    assert (client.streams, client.key, delivery) == (("news",), "me", "wsgi")
    assert hearing.of("delivered") == [
        ("wsgi", ("news",), 1, len(opening), 0),
        ("wsgi", ("news",), 1, len(data), 1),
    ]
    ((gone, delivery, reason),) = hearing.of("disconnected")
    assert (gone, delivery, reason) == (client, "wsgi", DisconnectReason.GONE)


class Failing(Observer):
    def published(self, *what: Any) -> None:
        raise ZeroDivisionError("a bug")

    def stream_ended(self, stream_id: str) -> None:
        raise ZeroDivisionError("another bug")


def test_an_observer_that_fails_is_logged_once_and_harms_nobody(
    hearing: Hearing, caplog: pytest.LogCaptureFixture
) -> None:
    with StreamManager(observers=[Failing(), hearing]) as sse:
        for _ in range(3):
            sse.send_event("news", "a")
    assert len(hearing.of("published")) == 3
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [(record.name, "Failing" in record.getMessage()) for record in errors] == [
        ("streamy.observers", True)
    ]


def test_each_of_its_failing_methods_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    several = Observers([Failing()])
    for _ in range(2):
        several.stream_ended("news")
        several.published("news", PublishOutcome.STORED, 1, 0.0, None)
    assert len(caplog.records) == 2


@pytest.mark.parametrize("method", METHODS)
def test_several_observers_are_all_told_of(method: str) -> None:
    first, second = Hearing(), Hearing()
    count = getattr(Observer, method).__code__.co_argcount - 1
    getattr(Observers([first, second]), method)(*range(count))
    assert first.heard == second.heard == [(method, tuple(range(count)))]


@pytest.mark.parametrize("method", METHODS)
def test_an_observer_that_hears_nothing_is_not_asked(method: str) -> None:
    assert Observers([Observer()])._hearing[method] == ()
