"""`send_soon`: whoever publishes is never held, and every event is stored once, in order, or counted."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask

from streamy_backends.memory import Limits, MemoryBroker
from streamy_core import (
    BrokerUnavailable,
    Closed,
    Event,
    Health,
    InvalidEvent,
    InvalidStreamId,
    StreamManager,
)
from streamy_core.broker import Broker
from streamy_core.errors import PublishFailed, StreamEnded
from streamy_core.observers import DropReason, Observer, PublishOutcome
from streamy_core.strategies import FixedDelay, NoRetry
from streamy_core.testing import FaultyBroker
from streamy_core.testing.reading import DEADLINE, data_of, eventually, read_all

from ..support.forks import forks, told_by_child


class OutboxBroker(FaultyBroker):
    """A broker that replies can be lost of.

    failing:  the streams that it is away for.
    poison:   data that it refuses, with all that is appended along with it.
    hold:     while it is not set, appends wait.
    appended: the data and the key of each append that was tried, by its stream.
    """

    loses_replies = True

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.failing: set[str] = set()
        self.poison: str | None = None
        self.hold = threading.Event()
        self.hold.set()
        self.appended: list[tuple[str, list[str], str | None]] = []

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        assert self.hold.wait(DEADLINE)
        data = [event.data for event in events]
        self.appended.append((stream_id, data, idempotency_key))
        if stream_id in self.failing:
            raise BrokerUnavailable(f"away for {stream_id}")
        if self.poison in data:
            raise LookupError(f"no place for {self.poison}")
        return super().append(stream_id, events, idempotency_key=idempotency_key)


class Outcomes(Observer):
    """What was told of publishing, in order."""

    def __init__(self) -> None:
        self.published_: list[tuple[str, PublishOutcome, int]] = []
        self.dropped_: list[tuple[str, int, DropReason]] = []
        self.errors: list[Exception | None] = []
        self.retried: list[tuple[str, int]] = []

    def published(self, stream_id: str, outcome: PublishOutcome, count: int, *how: Any) -> None:
        self.published_.append((stream_id, outcome, count))

    def dropped(self, stream_id: str, count: int, reason: DropReason, error: Exception | None) -> None:
        self.dropped_.append((stream_id, count, reason))
        self.errors.append(error)

    def publish_retried(self, stream_id: str, attempt: int, delay: float, error: BrokerUnavailable) -> None:
        self.retried.append((stream_id, attempt))


@pytest.fixture
def broker() -> Iterator[OutboxBroker]:
    with OutboxBroker(MemoryBroker(Limits(history=100_000, history_bytes=2**26))) as broker:
        yield broker


@pytest.fixture
def told() -> Outcomes:
    return Outcomes()


@pytest.fixture
def make(broker: OutboxBroker, told: Outcomes) -> Iterator[Callable[..., StreamManager]]:
    """A manager of the broker, that tries again for long, and soon."""
    with ExitStack() as to_close:

        def make(**settings: Any) -> StreamManager:
            given = {"retry": FixedDelay(0.01, retries=100_000), "observers": [told], **settings}
            return to_close.enter_context(StreamManager(broker=broker, **given))

        yield make
        broker.come_back()
        broker.failing.clear()
        broker.hold.set()


@pytest.fixture
def sse(make: Callable[..., StreamManager]) -> StreamManager:
    return make()


def stored(broker: Broker, stream_id: str = "news") -> list[str]:
    return data_of(read_all(broker, stream_id))


def empties(sse: StreamManager) -> Health:
    eventually(lambda: sse.health.queued == 0, "an empty queue")
    return sse.health


def queue_a_batch(sse: StreamManager, broker: OutboxBroker, count: int) -> None:
    """Have so many events of "news" wait together, behind one of "first" that the broker holds."""
    broker.hold.clear()
    sse.send_soon("first", "x")
    for n in range(count):
        sse.send_soon("news", n)


def send_in_vain(sse: StreamManager, broker: OutboxBroker, data: str) -> None:
    """Send an event of "news", for which the broker is away from now on, and wait for an attempt."""
    broker.failing.add("news")
    sse.send_soon("news", data)
    eventually(lambda: broker.appended, "an attempt")


# -- what is published


def test_what_is_sent_soon_is_stored_with_all_its_parts(sse: StreamManager, broker: OutboxBroker) -> None:
    assert sse.send_soon("news", {"a": 1}, "created", retry=500) is None  # type: ignore[func-returns-value]
    empties(sse)
    (entry,) = read_all(broker, "news")
    assert entry.event == Event('{"a": 1}', "created", 500)


def test_what_becomes_of_the_data_later_changes_nothing(sse: StreamManager, broker: OutboxBroker) -> None:
    broker.hold.clear()
    data = {"a": 1}
    sse.send_soon("news", data)
    data["a"] = 2
    broker.hold.set()
    empties(sse)
    assert stored(broker) == ['{"a": 1}']


def test_an_apps_own_json_is_made_at_the_call(broker: OutboxBroker) -> None:
    app = Flask("app")
    with StreamManager(app, broker=broker) as sse, app.app_context():
        sse.send_soon("news", datetime(2026, 1, 1, tzinfo=UTC))
    assert stored(broker) == ['"Thu, 01 Jan 2026 00:00:00 GMT"']


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("", "x"), InvalidStreamId),
        (("news", b"x"), InvalidEvent),
        (("news", "x" * 101), InvalidEvent),
        (("news", "x", "streamy.mine"), InvalidEvent),
    ],
)
def test_what_can_not_be_published_is_refused_at_the_call(
    make: Callable[..., StreamManager], arguments: Any, error: type[Exception]
) -> None:
    sse = make(max_event_bytes=100)
    with pytest.raises(error):
        sse.send_soon(*arguments)
    assert sse.health.queued == 0


@pytest.mark.parametrize("key", [5, "x" * 256])
def test_a_key_that_can_not_be_is_refused_at_the_call(sse: StreamManager, key: Any) -> None:
    with pytest.raises(InvalidEvent, match="idempotency key"):
        sse.send_soon("news", "x", idempotency_key=key)


def test_what_was_stored_is_told_once_with_its_count(
    sse: StreamManager, broker: OutboxBroker, told: Outcomes
) -> None:
    queue_a_batch(sse, broker, 3)
    broker.hold.set()
    empties(sse)
    assert told.published_ == [("first", PublishOutcome.STORED, 1), ("news", PublishOutcome.STORED, 3)]
    assert told.dropped_ == []


def test_no_thread_is_started_before_the_first_event(sse: StreamManager) -> None:
    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "streamy-outbox"]

    before = len(threads())
    sse.send_event("news", "x")
    assert len(threads()) == before
    sse.send_soon("news", "x")
    sse.send_soon("other", "x")
    assert len(threads()) == before + 1
    sse.close()
    assert len(threads()) == before


# -- while the broker is away


def test_nobody_is_held_while_the_broker_is_away(sse: StreamManager, broker: OutboxBroker) -> None:
    broker.hold.clear()
    sse.send_soon("news", "first")
    began = time.perf_counter()
    for n in range(200):
        sse.send_soon("news", n)
    assert time.perf_counter() - began < 200 * 0.005
    assert sse.health.queued == 201


def test_everything_is_stored_in_order_when_the_broker_is_back(
    sse: StreamManager, broker: OutboxBroker, told: Outcomes
) -> None:
    broker.go_away()
    for n in range(250):
        sse.send_soon(f"stream-{n % 5}", n)
    eventually(lambda: len(told.retried) > 10, "some attempts")
    broker.come_back()
    assert empties(sse).dropped == 0
    for which in range(5):
        assert stored(broker, f"stream-{which}") == [str(n) for n in range(which, 250, 5)]


def test_a_stream_that_fails_holds_no_other(sse: StreamManager, broker: OutboxBroker) -> None:
    broker.failing.add("bad")
    sse.send_soon("bad", "x")
    for n in range(20):
        sse.send_soon("good", n)
    eventually(lambda: len(stored(broker, "good")) == 20, "the events of the other stream")
    assert sse.health.queued == 1


def test_a_lost_reply_stores_nothing_twice(sse: StreamManager, broker: OutboxBroker, told: Outcomes) -> None:
    broker.fail_next_append(3, stored=True)
    for n in range(5):
        sse.send_soon("news", n)
    empties(sse)
    assert stored(broker) == ["0", "1", "2", "3", "4"]
    assert len(told.retried) == 3


def test_a_batch_that_is_tried_again_has_the_same_events_and_key(
    sse: StreamManager, broker: OutboxBroker
) -> None:
    send_in_vain(sse, broker, "a")
    sse.send_soon("news", "b")
    broker.failing.clear()
    empties(sse)
    (*same, last) = broker.appended
    assert {(tuple(data), key) for _, data, key in same} == {(("a",), same[0][2])}
    assert last[1] == ["b"]
    assert None not in {key for *_, key in broker.appended}


def test_the_senders_own_key_is_used(sse: StreamManager, broker: OutboxBroker, told: Outcomes) -> None:
    for _ in range(2):
        sse.send_soon("news", "x", idempotency_key="mine")
    empties(sse)
    assert stored(broker) == ["x"]
    outcomes = [outcome for _, outcome, _ in told.published_]
    assert outcomes == [PublishOutcome.STORED, PublishOutcome.DUPLICATE]


# -- what is dropped


def test_what_is_given_up_is_dropped_and_later_events_go_on(
    make: Callable[..., StreamManager], broker: OutboxBroker, told: Outcomes
) -> None:
    sse = make(outbox_retry_policy=FixedDelay(0.0, retries=2))
    broker.failing.add("news")
    sse.send_soon("news", "lost")
    assert empties(sse).dropped == 1
    broker.failing.clear()
    sse.send_soon("news", "kept")
    empties(sse)
    assert stored(broker) == ["kept"]
    assert told.dropped_ == [("news", 1, DropReason.FAILED)]
    assert isinstance(told.errors[0], PublishFailed)
    assert "given up after 3 attempts: away for news" in str(told.errors[0])
    assert told.published_ == [("news", PublishOutcome.STORED, 1)]


def test_a_stream_may_be_ended_when_publishing_to_it_is_given_up(
    make: Callable[..., StreamManager], broker: OutboxBroker, told: Outcomes
) -> None:
    sse = make(outbox_retry_policy=NoRetry(), end_stream_on_failure=True)
    broker.failing.add("news")
    sse.send_soon("news", "lost")
    eventually(lambda: broker.ended == ["news"], "the stream's end")


def test_the_retry_policy_is_the_outboxs_own_then_the_managers_then_one_of_a_minute(
    make: Callable[..., StreamManager],
) -> None:
    mine, other = FixedDelay(1.0), NoRetry()
    assert make(retry=other, outbox_retry_policy=mine).binding.settings.outbox_retry is mine
    assert make(retry=other).binding.settings.outbox_retry is other
    with StreamManager() as sse:
        policy = sse.binding.settings.outbox_retry
    delays = [policy.delay(attempt) for attempt in range(1, 32)]
    assert delays[-1] is None
    assert 20 < sum(delay for delay in delays if delay is not None) < 130


def test_a_stream_that_has_ended_drops_what_comes(
    sse: StreamManager, broker: OutboxBroker, told: Outcomes
) -> None:
    sse.end_stream("news")
    sse.send_soon("news", "late")
    sse.send_soon("other", "x")
    assert empties(sse).dropped == 1
    assert told.dropped_ == [("news", 1, DropReason.ENDED)]
    assert isinstance(told.errors[0], StreamEnded)
    assert stored(broker, "other") == ["x"]


def test_an_event_that_the_broker_refuses_holds_no_other(
    sse: StreamManager, broker: OutboxBroker, told: Outcomes
) -> None:
    broker.poison = "2"
    queue_a_batch(sse, broker, 5)
    broker.hold.set()
    assert empties(sse).dropped == 1
    assert stored(broker) == ["0", "1", "3", "4"]
    assert told.dropped_ == [("news", 1, DropReason.REFUSED)]
    assert isinstance(told.errors[0], LookupError)


def test_a_batch_that_may_be_stored_is_not_sent_anew_one_by_one(
    sse: StreamManager, broker: OutboxBroker, told: Outcomes
) -> None:
    queue_a_batch(sse, broker, 3)
    broker.failing.add("news")
    broker.hold.set()
    eventually(lambda: ("news", 1) in told.retried, "an attempt")
    broker.poison = "1"
    broker.failing.clear()
    assert empties(sse).dropped == 3
    assert stored(broker) == []


def test_a_full_queue_drops_the_newest_and_keeps_the_rest(
    make: Callable[..., StreamManager], broker: OutboxBroker, told: Outcomes
) -> None:
    sse = make(outbox_events=3)
    broker.hold.clear()
    for n in range(5):
        sse.send_soon("news", n)
    assert (sse.health.queued, sse.health.dropped) == (3, 2)
    broker.hold.set()
    empties(sse)
    assert stored(broker) == ["0", "1", "2"]
    assert told.dropped_ == [("news", 1, DropReason.FULL)] * 2


def test_a_queue_is_full_by_bytes_too(make: Callable[..., StreamManager], broker: OutboxBroker) -> None:
    sse = make(outbox_bytes=1_000)
    broker.hold.clear()
    for _ in range(5):
        sse.send_soon("news", "x" * 400)
    assert (sse.health.queued, sse.health.dropped) == (2, 3)


def test_a_burst_of_drops_is_two_lines_that_count_them_all(
    make: Callable[..., StreamManager], broker: OutboxBroker, caplog: pytest.LogCaptureFixture
) -> None:
    sse = make(outbox_events=1, retry=FixedDelay(60.0))
    broker.failing.add("news")
    for n in range(500):
        sse.send_soon("news", f"secret-{n}")

    def lines() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "streamy.outbox"]

    eventually(lambda: len(lines()) == 2, "the rest in a second line")
    assert "lost: 1 (full: 1); the last of stream 'news'" in lines()[0]
    assert "lost: 498 (full: 498); the last of stream 'news'" in lines()[1]
    assert "secret" not in caplog.text


def test_the_attempts_of_many_streams_are_ten_lines_a_second_at_most(
    sse: StreamManager, broker: OutboxBroker, told: Outcomes, caplog: pytest.LogCaptureFixture
) -> None:
    broker.go_away()
    began = time.monotonic()
    for n in range(100):
        sse.send_soon(f"stream-{n}", "x")
    eventually(lambda: len(told.retried) > 500, "many attempts")
    most = 10 * (time.monotonic() - began + 1)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert 1 <= len(warnings) <= most


# -- closing, and forks


def test_closing_publishes_what_waits(make: Callable[..., StreamManager], broker: OutboxBroker) -> None:
    sse = make(retry=FixedDelay(60.0))
    broker.go_away()
    sse.send_soon("news", "x")
    eventually(lambda: broker.appended, "an attempt")
    broker.come_back()
    sse.close()
    assert stored(broker) == ["x"]


def test_closing_does_not_wait_for_the_policys_long_delays(
    make: Callable[..., StreamManager], broker: OutboxBroker
) -> None:
    sse = make(retry=FixedDelay(60.0))
    broker.fail_next_append(2)
    sse.send_soon("news", "x")
    sse.close()
    assert stored(broker) == ["x"]


def test_closing_takes_no_longer_than_it_may_and_counts_what_is_left(
    make: Callable[..., StreamManager],
    broker: OutboxBroker,
    told: Outcomes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sse = make(outbox_flush_timeout=0.2)
    broker.failing.add("news")
    for _ in range(3):
        sse.send_soon("news", "x")
    began = time.monotonic()
    sse.close()
    assert 0.2 <= time.monotonic() - began < 2
    assert sum(count for _, count, _ in told.dropped_) == 3
    assert {reason for *_, reason in told.dropped_} == {DropReason.CLOSED}
    assert (sse.health.queued, sse.health.dropped) == (0, 3)
    assert "lost: 3 (closed: 3)" in caplog.text


def test_a_closed_manager_takes_nothing(sse: StreamManager) -> None:
    sse.send_soon("news", "x")
    sse.close()
    sse.close()
    with pytest.raises(Closed):
        sse.send_soon("news", "x")


def test_what_waits_is_stored_though_the_app_is_gone(broker: OutboxBroker) -> None:
    def use_an_app() -> None:
        app = Flask("app")
        sse.init_app(app)
        with app.app_context():
            sse.send_soon("news", "x")

    sse = StreamManager(broker=broker)
    broker.hold.clear()
    use_an_app()
    gc.collect()
    broker.hold.set()
    eventually(lambda: stored(broker) == ["x"], "the event")
    eventually(
        lambda: "streamy-outbox" not in [thread.name for thread in threading.enumerate()], "its thread's end"
    )


@forks
def test_a_forked_process_has_an_empty_queue_and_a_thread_of_its_own(
    sse: StreamManager, broker: OutboxBroker
) -> None:
    send_in_vain(sse, broker, "the parent's")

    def child() -> str:
        broker.failing.clear()
        sse.send_soon("news", "the child's")
        empties(sse)
        return "; ".join(stored(broker))  # of a memory that is the child's own

    assert told_by_child(child) == "the child's"
    broker.failing.clear()
    empties(sse)
    assert stored(broker) == ["the parent's"]
