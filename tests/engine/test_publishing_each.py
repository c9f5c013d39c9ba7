"""Publishing to many streams, to each its own events: one call, and each stream is settled by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamy_core import BrokerUnavailable, Closed, Event, PublishFailed, StreamEnded
from streamy_core.engine.broadcast import Batches
from streamy_core.engine.publisher import Publisher
from streamy_core.observers import PublishOutcome
from streamy_core.strategies import FixedDelay
from streamy_core.testing.reading import data_of, read_all

from .doubles import Counting, Told

BATCHES: Batches = {"a": [Event("1"), Event("2")], "b": [Event("3")], "c": [Event("4")]}

Settled = dict[str, Exception | None]


@pytest.fixture
def broker() -> Iterator[Counting]:
    with Counting() as broker:
        yield broker


@pytest.fixture
def publisher(broker: Counting, told: Told) -> Publisher:
    retry = FixedDelay(0.001, retries=2)
    return Publisher(broker, retry=retry, dumps=str, max_bytes=1_000_000, observer=told)


def publish(publisher: Publisher, batches: Batches = BATCHES) -> Settled:
    """What each stream was settled by, in that order; each is once."""
    settled: list[tuple[str, Exception | None]] = []
    publisher.publish_each(batches, lambda name, error: settled.append((name, error)))
    assert sorted(name for name, _ in settled) == sorted(batches)
    return dict(settled)


def test_each_stream_gets_its_own_events_by_one_call(
    publisher: Publisher, broker: Counting, told: Told
) -> None:
    assert publish(publisher) == {"a": None, "b": None, "c": None}
    assert broker.calls == [["a", "b", "c"]]
    assert [data_of(read_all(broker, name)) for name in BATCHES] == [["1", "2"], ["3"], ["4"]]
    assert told.published_ == [("a", PublishOutcome.STORED, 2), ("b", PublishOutcome.STORED, 1),
                               ("c", PublishOutcome.STORED, 1)]  # fmt: skip


def test_one_that_has_ended_is_told_so_and_the_others_are_stored(
    publisher: Publisher, broker: Counting, told: Told
) -> None:
    broker.end("b")
    settled = publish(publisher)
    assert isinstance(settled.pop("b"), StreamEnded)
    assert settled == {"a": None, "c": None}
    assert ("b", PublishOutcome.ENDED, 1) in told.published_


def test_one_that_is_out_of_reach_keeps_no_other_waiting_and_is_tried_again_by_itself(
    publisher: Publisher, broker: Counting
) -> None:
    broker.out_of_reach, broker.faults = {"a"}, 1
    assert list(publish(publisher)) == ["b", "c", "a"]
    assert [data_of(read_all(broker, name)) for name in BATCHES] == [["1", "2"], ["3"], ["4"]]


def test_one_that_fails_all_is_tried_again_after_the_others_are_stored(
    publisher: Publisher, broker: Counting
) -> None:
    broker.all_or_none, broker.out_of_reach, broker.faults = True, {"a"}, 3
    assert list(publish(publisher)) == ["b", "c", "a"]
    assert broker.faults == 0
    assert [data_of(read_all(broker, name)) for name in BATCHES] == [["1", "2"], ["3"], ["4"]]


def test_where_none_is_in_reach_not_all_are_tried_at_once(publisher: Publisher, broker: Counting) -> None:
    broker.all_or_none, broker.out_of_reach, broker.faults = True, set(BATCHES), 100
    assert {type(error) for error in publish(publisher).values()} == {PublishFailed}
    assert broker.calls == [["a", "b", "c"], ["a"], ["b"]]


def test_what_is_wrong_with_a_broker_is_logged_and_each_is_tried_by_itself(
    publisher: Publisher, broker: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    def of_before(stream_ids: object, events: object, *, idempotency_key: str | None = None) -> object:
        raise AssertionError

    broker.append_to_many = of_before  # type: ignore[method-assign, assignment]
    assert publish(publisher) == {"a": None, "b": None, "c": None}
    assert "together has failed" in caplog.text
    assert "TypeError" in caplog.text


def test_a_reply_that_is_lost_stores_nothing_twice(publisher: Publisher, broker: Counting) -> None:
    broker.replies_lost = 1
    assert publish(publisher) == {"a": None, "b": None, "c": None}
    assert [data_of(read_all(broker, name)) for name in BATCHES] == [["1", "2"], ["3"], ["4"]]


def test_what_is_given_up_is_told_with_its_stream_and_its_fault(
    publisher: Publisher, broker: Counting, told: Told
) -> None:
    broker.out_of_reach, broker.faults = {"b"}, 100
    error = publish(publisher)["b"]
    assert isinstance(error, PublishFailed)
    assert (error.stream_id, error.attempts) == ("b", 3)
    assert isinstance(error.__cause__, BrokerUnavailable)
    assert told.published_[-1] == ("b", PublishOutcome.FAILED, 1)


def test_what_does_not_pass_is_told_to_all(publisher: Publisher, broker: Counting) -> None:
    broker.close()
    assert {type(error) for error in publish(publisher).values()} == {Closed}


def test_much_text_goes_by_several_calls(publisher: Publisher, broker: Counting) -> None:
    text = "x" * 900_000
    publish(publisher, {f"s{n}": [Event(text), Event(text)] for n in range(5)})
    assert broker.calls == [["s0", "s1"], ["s2", "s3"], ["s4"]]
