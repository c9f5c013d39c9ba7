"""Publishing: what is refused, how it is tried again, and that nothing is lost or doubled on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from streamy_backends.memory import MemoryBroker
from streamy_core import StreamManager
from streamy_core.broker import Broker
from streamy_core.engine.publisher import Publisher
from streamy_core.errors import (
    BrokerUnavailable,
    Closed,
    InvalidEvent,
    InvalidStreamId,
    PublishFailed,
    StreamEnded,
)
from streamy_core.events import END, GAP, Event
from streamy_core.strategies.retry import FixedDelay, NoRetry
from streamy_core.testing import FaultyBroker
from streamy_core.testing.reading import data_of, read, read_all, tail

from ..support.forks import forks, told_by_child


class KeyedBroker(FaultyBroker):
    """Keeps the idempotency keys of all appends that were tried, in their order."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.keys: list[str | None] = []

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        self.keys.append(idempotency_key)
        return super().append(stream_id, events, idempotency_key=idempotency_key)


class Backoff:
    """A policy of given delays, that then gives up."""

    def __init__(self, *delays: float) -> None:
        self.delays = delays

    def delay(self, attempt: int) -> float | None:
        return self.delays[attempt - 1] if attempt <= len(self.delays) else None


@pytest.fixture
def broker() -> Iterator[KeyedBroker]:
    with KeyedBroker(MemoryBroker()) as broker:
        yield broker


@pytest.fixture
def slept() -> list[float]:
    """The pauses that publishers made, in seconds."""
    return []


@pytest.fixture
def make(broker: KeyedBroker, slept: list[float]) -> Callable[..., Publisher]:
    """A publisher to the broker, that tries again after 1, 2 and 4 seconds unless told otherwise."""

    def make(**arguments: Any) -> Publisher:
        defaults = {"retry": Backoff(1, 2, 4), "dumps": json.dumps, "max_bytes": 100, "sleep": slept.append}
        return Publisher(broker, **(defaults | arguments))

    return make


@pytest.fixture
def publisher(make: Callable[..., Publisher]) -> Publisher:
    return make()


@pytest.fixture
def manager(broker: KeyedBroker) -> Iterator[StreamManager]:
    """A manager of the broker, without an app, that never tries again."""
    manager = StreamManager(broker=broker, retry=NoRetry(), max_event_bytes=100)
    yield manager
    manager.close()


def stored(broker: Broker) -> list[str]:
    return data_of(read_all(broker, "news"))


def ended(broker: Broker) -> bool:
    return read(broker, "news").ended


X = [Event("x")]

# -- what becomes an event


@pytest.mark.parametrize("text", ["", "x", '"x"', "a\nb", "日本語"])
def test_text_goes_as_it_is(publisher: Publisher, text: str) -> None:
    assert publisher.event(text, "n", 5) == Event(text, "n", 5)


@pytest.mark.parametrize("data", [{"a": [1, None]}, [1, "x"], 0, 1.5, True, None, ()], ids=repr)
def test_what_is_not_text_goes_as_json(publisher: Publisher, data: Any) -> None:
    assert publisher.event(data).data == json.dumps(data)


def test_json_is_made_by_the_function_that_was_given(make: Callable[..., Publisher]) -> None:
    assert make(dumps=lambda data: f"<{data}>").event(1).data == "<1>"


@pytest.mark.parametrize(
    "data", [b"x", bytearray(b"x"), memoryview(b"x")], ids=lambda data: type(data).__name__
)
def test_bytes_are_refused_with_what_to_do_instead(publisher: Publisher, data: Any) -> None:
    with pytest.raises(InvalidEvent, match=f"not {type(data).__name__}: decode it first, or send base64"):
        publisher.event(data)


def endless() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


def deep() -> list[Any]:
    nest: list[Any] = []
    for _ in range(100_000):
        nest = [nest]
    return nest


@pytest.mark.parametrize(
    "make_data",
    [object, lambda: {1, 2}, lambda: {(1, 2): 3}, endless, deep],
    ids=["object", "set", "key", "ring", "deep"],
)
def test_what_has_no_json_form_is_refused(publisher: Publisher, make_data: Callable[[], Any]) -> None:
    with pytest.raises(InvalidEvent, match=r"this \w+ has no JSON form: ."):
        publisher.event(make_data())


@pytest.mark.parametrize("name", [GAP, END, "streamy.", "streamy.anything"])
def test_streamys_own_names_are_refused(publisher: Publisher, name: str) -> None:
    with pytest.raises(InvalidEvent, match=f"reserved: '{name}'"):
        publisher.event("x", name)


@pytest.mark.parametrize("name", ["streamy", "Streamy.gap", "my.streamy.gap", " streamy.gap"])
def test_names_like_streamys_own_are_free(publisher: Publisher, name: str) -> None:
    assert publisher.event("x", name).name == name


@pytest.mark.parametrize(
    "data", ["x" * 100, "ä" * 50, "x" * 98 + "ä", ["x" * 96]], ids=lambda data: str(data)[-3:]
)
def test_data_may_have_as_many_bytes_as_the_limit(publisher: Publisher, data: Any) -> None:
    assert publisher.event(data).size == 100


@pytest.mark.parametrize("data", ["x" * 101, "ä" * 50 + "x", ["x" * 97]], ids=lambda data: str(data)[-3:])
def test_data_beyond_the_limit_is_refused_with_both_sizes_and_the_key(
    publisher: Publisher, data: Any
) -> None:
    with pytest.raises(
        InvalidEvent, match=r"101 bytes of data, more than the 100 that STREAMY_MAX_EVENT_BYTES"
    ):
        publisher.event(data)


# -- trying again


def test_publishing_returns_the_ids_under_which_the_events_are_stored(
    publisher: Publisher, broker: KeyedBroker
) -> None:
    ids = publisher.publish("news", [Event("a"), Event("b")], None)
    assert [entry.id for entry in read_all(broker, "news")] == ids


@pytest.mark.parametrize(("faults", "pauses"), [(0, []), (1, [1]), (2, [1, 2]), (3, [1, 2, 4])])
@pytest.mark.parametrize("stored_all_the_same", [False, True], ids=["lost requests", "lost replies"])
def test_it_is_tried_again_after_the_policys_pauses_and_stored_once(
    publisher: Publisher,
    broker: KeyedBroker,
    slept: list[float],
    stored_all_the_same: bool,
    faults: int,
    pauses: list[float],
) -> None:
    broker.fail_next_append(faults, stored=stored_all_the_same)
    (last,) = publisher.publish("news", X, None)
    assert slept == pauses
    assert stored(broker) == ["x"]
    assert tail(broker, "news") == last


def test_a_lost_reply_gives_the_ids_of_the_first_time(publisher: Publisher, broker: KeyedBroker) -> None:
    broker.fail_next_append(stored=True)
    ids = publisher.publish("news", [Event("a"), Event("b")], None)
    assert [entry.id for entry in read_all(broker, "news")] == ids


def test_a_reply_lost_before_the_stream_ended_still_counts(
    make: Callable[..., Publisher], broker: KeyedBroker
) -> None:
    broker.fail_next_append(stored=True)
    publisher = make(sleep=lambda _: broker.end("news"))
    assert len(publisher.publish("news", X, None)) == 1
    assert stored(broker) == ["x"]


def test_after_the_policys_last_attempt_publishing_fails(
    publisher: Publisher, broker: KeyedBroker, slept: list[float]
) -> None:
    broker.fail_next_append(99)
    with pytest.raises(
        PublishFailed,
        match=r"could not publish to stream 'news': given up after 4 attempts: this append was told to fail$",
    ) as failure:
        publisher.publish("news", X, None)
    assert (failure.value.stream_id, failure.value.attempts) == ("news", 4)
    assert str(failure.value.__cause__) == "this append was told to fail"
    assert isinstance(failure.value.__cause__, BrokerUnavailable)
    assert slept == [1, 2, 4]
    assert stored(broker) == []


def test_without_retries_the_first_fault_is_the_last(
    make: Callable[..., Publisher], broker: KeyedBroker, slept: list[float]
) -> None:
    broker.fail_next_append()
    with pytest.raises(PublishFailed, match=r"given up after 1 attempt: this append was told to fail$"):
        make(retry=NoRetry()).publish("news", X, None)
    assert slept == []


def test_a_failed_publish_harms_none_after_it(make: Callable[..., Publisher], broker: KeyedBroker) -> None:
    broker.fail_next_append()
    publisher = make(retry=NoRetry())
    with pytest.raises(PublishFailed):
        publisher.publish("news", X, None)
    publisher.publish("news", [Event("y")], None)
    assert stored(broker) == ["y"]


def test_an_ended_stream_is_refused_and_not_tried_again(
    publisher: Publisher, broker: KeyedBroker, slept: list[float]
) -> None:
    broker.end("news")
    with pytest.raises(StreamEnded, match="stream 'news' has ended"):
        publisher.publish("news", X, None)
    assert (len(broker.keys), slept) == (1, [])


@pytest.mark.parametrize("error", [Closed("closed"), RuntimeError("a bug"), KeyError("x")], ids=repr)
def test_any_other_error_goes_to_the_caller_at_once(
    publisher: Publisher,
    broker: KeyedBroker,
    slept: list[float],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fail(*_: Any, **__: Any) -> list[str]:
        raise error

    monkeypatch.setattr(broker, "append", fail)
    with pytest.raises(type(error)):
        publisher.publish("news", X, None)
    assert slept == []


def test_without_a_sleep_of_the_callers_it_is_times_own_looked_up_late(
    make: Callable[..., Publisher], broker: KeyedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # gevent replaces time.sleep, perhaps after the publisher was made.
    publisher = make(sleep=None)
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    broker.fail_next_append(2)
    publisher.publish("news", X, None)
    assert pauses == [1, 2]


# -- idempotency keys


def test_all_attempts_at_one_append_have_the_same_key(publisher: Publisher, broker: KeyedBroker) -> None:
    broker.fail_next_append(3)
    publisher.publish("news", X, None)
    assert len(broker.keys) == 4
    assert len(set(broker.keys)) == 1
    assert broker.keys[0]


def test_a_broker_that_loses_no_replies_is_given_no_key_of_ours(
    publisher: Publisher, broker: KeyedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KeyedBroker, "loses_replies", False)
    publisher.publish("news", X, None)
    publisher.publish("news", X, "mine")
    assert broker.keys == [None, "mine"]


def test_equal_events_are_stored_as_often_as_they_are_published(
    make: Callable[..., Publisher], broker: KeyedBroker
) -> None:
    for publisher in (make(), make()):
        for _ in range(3):
            publisher.publish("news", X, None)
    assert stored(broker) == ["x"] * 6


def test_a_callers_key_stores_once_however_often_it_is_used(
    make: Callable[..., Publisher], broker: KeyedBroker
) -> None:
    broker.fail_next_append(stored=True)
    assert make().publish("news", X, "mine") == make().publish("news", X, "mine")
    assert stored(broker) == ["x"]
    assert set(broker.keys) == {"mine"}


@forks
def test_a_forked_worker_never_uses_the_keys_of_its_siblings(
    publisher: Publisher, broker: KeyedBroker
) -> None:
    # gunicorn --preload makes the publisher before it forks: with equal keys the workers' events would
    # be taken for repetitions of each other, and be lost.
    def publish_and_tell_the_key() -> str:
        publisher.publish("news", X, None)
        return str(broker.keys[-1])

    childs_key = told_by_child(publish_and_tell_the_key)
    publisher.publish("news", X, None)
    assert childs_key
    assert broker.keys[-1] != childs_key


# -- ending


def test_an_end_is_tried_again_too(publisher: Publisher, broker: KeyedBroker, slept: list[float]) -> None:
    broker.fail_next_append(2)
    publisher.end("news")
    assert ended(broker)
    assert slept == [1, 2]


def test_an_end_that_fails_for_good_says_so(publisher: Publisher, broker: KeyedBroker) -> None:
    broker.fail_next_append(99)
    with pytest.raises(PublishFailed, match=r"given up after 4 attempts: this end was told to fail$"):
        publisher.end("news")
    assert not ended(broker)


@pytest.mark.parametrize("end_on_failure", [True, False])
def test_a_stream_is_ended_after_a_failed_publish_only_if_told_to(
    make: Callable[..., Publisher], broker: KeyedBroker, end_on_failure: bool
) -> None:
    broker.fail_next_append(4)
    with pytest.raises(PublishFailed):
        make(end_on_failure=end_on_failure).publish("news", X, None)
    assert ended(broker) == end_on_failure


def test_a_stream_that_can_not_be_ended_either_is_still_a_failed_publish(
    make: Callable[..., Publisher], broker: KeyedBroker
) -> None:
    broker.fail_next_append(99)
    with pytest.raises(PublishFailed) as failure:
        make(end_on_failure=True).publish("news", X, None)
    assert str(failure.value.__cause__) == "this append was told to fail"


def test_an_end_that_failed_is_not_tried_once_more_behind_the_policys_back(
    make: Callable[..., Publisher], broker: KeyedBroker
) -> None:
    broker.fail_next_append(4)
    with pytest.raises(PublishFailed):
        make(end_on_failure=True).end("news")
    assert not ended(broker), "PublishFailed was raised although the stream has ended"


# -- the three verbs


def test_a_manager_publishes_and_ends_through_its_broker(manager: StreamManager, broker: KeyedBroker) -> None:
    assert manager.send_event("news", {"a": 1}) == tail(broker, "news")
    manager.end_stream("news")
    assert (stored(broker), ended(broker)) == (['{"a": 1}'], True)


def test_send_events_stores_a_batch_by_one_append_and_in_order(
    manager: StreamManager, broker: KeyedBroker
) -> None:
    ids = manager.send_events("news", ["a", {"b": 1}, Event("c", "n")])
    assert (len(ids), len(broker.keys)) == (3, 1)
    assert stored(broker) == ["a", '{"b": 1}', "c"]


def test_send_events_with_nothing_to_send_does_nothing(manager: StreamManager, broker: KeyedBroker) -> None:
    assert manager.send_events("news", []) == []
    assert broker.keys == []


BAD = {
    "bytes": b"x",
    "too long": "x" * 101,
    "an event too long": Event("x" * 101),
    "no JSON": object(),
    "a surrogate": "\ud800",
    "a nul": "\0",
    "a reserved name": Event("x", END),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_send_events_stores_all_or_none(
    manager: StreamManager, broker: KeyedBroker, bad: Any, place: int
) -> None:
    batch: list[Any] = ["good", "also good"]
    batch.insert(place, bad)
    with pytest.raises(InvalidEvent):
        manager.send_events("news", batch)
    assert broker.keys == []


def test_send_events_stores_a_batch_once_although_a_reply_is_lost(broker: KeyedBroker) -> None:
    broker.fail_next_append(stored=True)
    manager = StreamManager(broker=broker, retry=FixedDelay(0.0))
    ids = manager.send_events("news", ["a", "b"])
    manager.close()
    assert stored(broker) == ["a", "b"]
    assert tail(broker, "news") == ids[-1]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("news", b"x"), InvalidEvent),
        (("news", "x" * 101), InvalidEvent),
        (("news", "x", "a\nb"), InvalidEvent),
        (("news", "x", "streamy.end"), InvalidEvent),
        (("", "x"), InvalidStreamId),
        (("a\nb", "x"), InvalidStreamId),
        ((None, "x"), InvalidStreamId),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_what_is_refused_never_reaches_the_broker(
    manager: StreamManager, broker: KeyedBroker, arguments: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        manager.send_event(*arguments)
    assert broker.keys == []


def test_a_retry_that_can_not_be_sent_is_refused(manager: StreamManager, broker: KeyedBroker) -> None:
    with pytest.raises(InvalidEvent, match="retry is a whole number"):
        manager.send_event("news", "x", retry=-1)
    assert broker.keys == []


@pytest.mark.parametrize("data", [float("nan"), {"x": [float("inf")]}, -float("inf")])
def test_numbers_that_json_does_not_have_are_refused(data: object) -> None:
    publisher = Publisher(MemoryBroker(), retry=NoRetry(), dumps=json.dumps, max_bytes=100)
    with pytest.raises(InvalidEvent, match="is not JSON"):
        publisher.event(data)


def test_words_like_them_are_text_like_any_other() -> None:
    publisher = Publisher(MemoryBroker(), retry=NoRetry(), dumps=json.dumps, max_bytes=100)
    assert publisher.event({"grandma": "NaNa to Infinity"}).data == '{"grandma": "NaNa to Infinity"}'
