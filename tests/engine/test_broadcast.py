"""Publishing to many streams: in slices, tried again by the policy, and what was stored is known."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from streamy_core import (
    Closed,
    Event,
    InvalidEvent,
    InvalidStreamId,
    PublishFailed,
    StreamManager,
)
from streamy_core.broker import AppendsToMany
from streamy_core.observers import PublishOutcome
from streamy_core.strategies import FixedDelay
from streamy_core.testing import FaultyBroker
from streamy_core.testing.reading import data_of, read_all

from .doubles import Counting, Told
from .doubles import FaultyBroker as OneByOne

NAMES = [f"user:{n}" for n in range(5)]


class Plain(OneByOne):
    """A broker that can't append to many streams at once."""

    append_to_many = None  # type: ignore[assignment]


@pytest.fixture
def broker() -> Iterator[Counting]:
    with Counting() as broker:
        yield broker


@pytest.fixture
def sse(broker: Counting, told: Told) -> Iterator[StreamManager]:
    with StreamManager(broker=broker, retry=FixedDelay(0.001, retries=2), observers=[told]) as sse:
        yield sse


def test_each_stream_has_the_event_and_its_id_is_returned(sse: StreamManager, broker: Counting) -> None:
    sse.send_event("user:3", "before")
    ids = sse.broadcast(NAMES, {"n": 1}, "note", retry=5)
    assert list(ids) == NAMES
    for name in NAMES:
        entry = read_all(broker, name)[-1]
        assert (entry.id, entry.event) == (ids[name], Event('{"n": 1}', "note", 5))


def test_a_stream_that_is_named_twice_has_it_once(sse: StreamManager, broker: Counting) -> None:
    assert list(sse.broadcast(["a", "b", "a"], "x")) == ["a", "b"]
    assert data_of(read_all(broker, "a")) == ["x"]


def test_one_name_is_one_stream_and_no_names_are_none(sse: StreamManager, broker: Counting) -> None:
    assert list(sse.broadcast("news", "x")) == ["news"]
    assert sse.broadcast([], "x") == {}
    assert broker.calls == [["news"]]


def test_a_bad_name_or_event_stores_nothing(sse: StreamManager, broker: Counting) -> None:
    for names, data in ((["a", "b\n"], "x"), (["a", 7], "x"), (b"ab", "x"), (["a"], b"x"), (["a"], {1, 2})):
        with pytest.raises((InvalidStreamId, InvalidEvent)):
            sse.broadcast(names, data)  # type: ignore[arg-type]
    with pytest.raises(InvalidEvent):
        sse.broadcast(["a"], "x", idempotency_key="k" * 256)
    assert not broker.calls


def test_streams_that_have_ended_have_no_id_in_the_result(
    sse: StreamManager, broker: Counting, told: Told
) -> None:
    sse.end_stream("user:1")
    assert "user:1" not in sse.broadcast(NAMES, "x")
    assert len(broker.calls) == 1, "an end is nothing to try again"
    assert [name for name, outcome, _ in told.published_ if outcome is PublishOutcome.ENDED] == ["user:1"]
    assert [name for name, outcome, _ in told.published_ if outcome is PublishOutcome.STORED] == [
        "user:0", "user:2", "user:3", "user:4",
    ]  # fmt: skip


def test_many_streams_go_in_slices_of_a_thousand(sse: StreamManager, broker: Counting) -> None:
    assert len(sse.broadcast([f"s{n}" for n in range(2_500)], "x")) == 2_500
    assert [len(call) for call in broker.calls] == [1_000, 1_000, 500]


def test_slices_of_large_events_are_smaller(sse: StreamManager, broker: Counting) -> None:
    sse.broadcast([f"s{n}" for n in range(200)], "x" * 60_000)
    assert len(broker.calls) > 1
    assert max(len(call) for call in broker.calls) * 60_000 <= 4 * 2**20


def test_what_could_not_be_reached_is_tried_again_and_nothing_else(
    sse: StreamManager, broker: Counting, told: Told
) -> None:
    broker.out_of_reach, broker.faults = {"user:1", "user:4"}, 2
    assert sorted(sse.broadcast(NAMES, "x")) == NAMES
    assert broker.calls == [NAMES, ["user:1", "user:4"], ["user:1", "user:4"]]
    assert len(broker.keys) == 1
    assert None not in broker.keys, "a lost reply would store it twice"
    assert told.retried == ["user:1", "user:1"]
    assert all(len(read_all(broker, name)) == 1 for name in NAMES)


def test_who_is_told_of_a_failure_knows_what_was_stored(
    sse: StreamManager, broker: Counting, told: Told
) -> None:
    broker.out_of_reach, broker.faults = {"user:1", "user:4"}, 99
    with pytest.raises(PublishFailed) as failure:
        sse.broadcast(NAMES, "x")
    error = failure.value
    assert sorted(error.stored) == ["user:0", "user:2", "user:3"]
    assert error.stored["user:0"] == read_all(broker, "user:0")[0].id
    assert (error.stream_id, error.others, error.attempts) == ("user:1", 1, 3)
    assert str(error) == (
        "could not publish to stream 'user:1' and 1 others: given up after 3 attempts: a node is away"
    )
    failed = [name for name, outcome, _ in told.published_ if outcome is PublishOutcome.FAILED]
    assert failed == ["user:1", "user:4"]
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.stored, str(copy)) == (error.stored, str(error))


def test_after_a_slice_that_failed_no_other_is_tried(sse: StreamManager, broker: Counting) -> None:
    names = [f"s{n}" for n in range(3_000)]
    broker.out_of_reach, broker.faults = {"s1500"}, 99
    with pytest.raises(PublishFailed) as failure:
        sse.broadcast(names, "x")
    assert len(failure.value.stored) == 1_999
    assert failure.value.others == 1_000
    assert not any("s2000" in call for call in broker.calls)


def test_streams_that_ended_in_an_earlier_slice_have_not_failed(
    sse: StreamManager, broker: Counting, told: Told
) -> None:
    names = [f"s{n}" for n in range(2_000)]
    sse.end_stream("s0")
    broker.out_of_reach, broker.faults = {"s1500"}, 99
    with pytest.raises(PublishFailed) as failure:
        sse.broadcast(names, "x")
    assert (failure.value.stream_id, failure.value.others) == ("s1500", 0)
    assert set(told.retried) == {"s1500"}
    outcomes = {name: outcome for name, outcome, count in told.published_ if count}
    assert (outcomes["s0"], outcomes["s1500"]) == (PublishOutcome.ENDED, PublishOutcome.FAILED)


def test_what_was_stored_is_known_whatever_ends_it(broker: Counting, told: Told) -> None:
    names = [f"s{n}" for n in range(3_000)]
    with StreamManager(broker=broker, observers=[told]) as sse:
        broker.closes_after = 2
        with pytest.raises(PublishFailed) as failure:
            sse.broadcast(names, "x")
    assert isinstance(failure.value.__cause__, Closed)
    assert list(failure.value.stored) == names[:2_000]
    assert [name for name, outcome, _ in told.published_ if outcome is PublishOutcome.STORED] == names[:2_000]


def test_nothing_stored_and_closed_is_closed(broker: Counting) -> None:
    with StreamManager(broker=broker) as sse:
        broker.close()
        with pytest.raises(Closed):
            sse.broadcast(NAMES, "x")


def test_repeating_it_with_the_same_key_stores_nothing_more(
    sse: StreamManager, broker: Counting, told: Told
) -> None:
    first = sse.broadcast(NAMES, "x", idempotency_key="k")
    sse.send_event("more", "x", idempotency_key="k")
    again = sse.broadcast([*NAMES, "more", "new"], "x", idempotency_key="k")
    assert {name: again[name] for name in NAMES} == first
    assert all(len(read_all(broker, name)) == 1 for name in [*NAMES, "more", "new"])
    outcomes = [outcome for name, outcome, _ in told.published_ if name == "user:0"]
    assert outcomes == [PublishOutcome.STORED, PublishOutcome.DUPLICATE]


def test_a_broker_that_cannot_do_it_is_asked_stream_by_stream() -> None:
    with Plain() as broker, StreamManager(broker=broker, retry=FixedDelay(0.001, 2)) as sse:
        broker.end("user:2")
        assert sorted(sse.broadcast(NAMES, "x")) == ["user:0", "user:1", "user:3", "user:4"]
        broker.away.set()
        with pytest.raises(PublishFailed) as failure:
            sse.broadcast(NAMES, "y")
        assert failure.value.stored == {}


def test_one_by_one_too_what_was_stored_is_not_tried_again() -> None:
    with FaultyBroker(Plain()) as broker:
        assert not isinstance(broker, AppendsToMany)
        with StreamManager(broker=broker, retry=FixedDelay(0.001, 2)) as sse:
            broker.fail_next_append(stored=True)
            sse.broadcast(NAMES, "x")
            assert [broker.published(name) for name in NAMES] == [["x"]] * 5


def test_streams_are_ended_after_a_failure_if_it_is_set_so(broker: Counting) -> None:
    broker.out_of_reach, broker.faults = {"user:1", "user:4"}, 99
    with StreamManager(broker=broker, max_retries=0, end_stream_on_failure=True) as sse:
        with pytest.raises(PublishFailed):
            sse.broadcast(NAMES, "x")
        ended = [info.stream_id for info in broker.streams() if info.ended]
        assert ended == ["user:1", "user:4"]


def test_what_is_only_for_now_can_be_broadcast(sse: StreamManager) -> None:
    with sse.subscribe("user:1") as subscription:
        sse.broadcast(NAMES, "now", expires=0)
        assert next(subscription).event.data == "now"
    assert sse.history("user:1").entries == ()
