"""What waits to be published: bounded, in order per stream, each stream in its turn."""

from __future__ import annotations

import pytest

from streamy_core import Event
from streamy_core.engine.queues import Item, StreamQueue, StreamQueues


@pytest.fixture
def queues() -> StreamQueues:
    return StreamQueues(1_000, 2**20)


def put(queues: StreamQueues, stream_id: str, *texts: str, key: str | None = None) -> list[bool]:
    return [queues.put(stream_id, Item(Event(text), key)) for text in texts]


def take(queues: StreamQueues, now: float = 0.0) -> StreamQueue:
    queue = queues.take(now)
    assert queue is not None
    return queue


def finish(queues: StreamQueues, queue: StreamQueue) -> None:
    assert queues.finish(queue)
    queues.give_back(queue)


def batches(queues: StreamQueues) -> list[tuple[str, str]]:
    """All batches, in the order in which they come, each published at once."""
    found = []
    while (queue := queues.take(0.0)) is not None:
        found.append((queue.stream_id, "".join(item.event.data for item in queue.batch)))
        finish(queues, queue)
    return found


def test_what_one_stream_has_waiting_is_one_batch_in_order(queues: StreamQueues) -> None:
    put(queues, "news", *"abc")
    assert batches(queues) == [("news", "abc")]
    assert (queues.events, queues.bytes) == (0, 0)


def test_a_batch_has_a_hundred_events_at_most(queues: StreamQueues) -> None:
    put(queues, "news", *"x" * 250)
    assert [len(text) for _, text in batches(queues)] == [100, 100, 50]


def test_a_batch_has_a_quarter_of_a_megabyte_at_most_or_one_event() -> None:
    queues = StreamQueues(10, 2**24)
    put(queues, "news", "x" * 2**19, "x" * 2**17, "x" * 2**17, "x")
    assert [len(text) for _, text in batches(queues)] == [2**19, 2**18, 1]


def test_an_event_with_a_key_of_its_own_goes_alone(queues: StreamQueues) -> None:
    put(queues, "news", *"ab")
    put(queues, "news", "c", key="k")
    put(queues, "news", *"de")
    assert [text for _, text in batches(queues)] == ["ab", "c", "de"]


def test_streams_take_turns(queues: StreamQueues) -> None:
    put(queues, "a", *"x" * 250)
    put(queues, "b", *"x" * 150)
    assert [name for name, _ in batches(queues)] == ["a", "b", "a", "b", "a"]


def test_a_stream_that_waits_holds_no_other_and_is_not_taken_before_it_is_due(queues: StreamQueues) -> None:
    put(queues, "a", "x")
    put(queues, "b", "x")
    queues.give_back(take(queues), due=5.0)
    assert queues.due() == 5.0
    assert batches(queues) == [("b", "x")]
    assert queues.take(4.9) is None
    assert take(queues, 5.0).stream_id == "a"


def test_a_batch_tried_again_is_the_same_and_what_came_meanwhile_follows(
    queues: StreamQueues,
) -> None:
    put(queues, "news", *"ab")
    queues.give_back(take(queues), due=0.0)
    put(queues, "news", *"cd")
    assert batches(queues) == [("news", "ab"), ("news", "cd")]


def test_a_batch_that_is_split_goes_on_one_by_one_in_its_order(queues: StreamQueues) -> None:
    put(queues, "news", *"abc")
    queue = take(queues)
    put(queues, "news", *"de")
    queue.split()
    queues.give_back(queue)
    assert [text for _, text in batches(queues)] == ["a", "b", "c", "de"]


def test_no_more_events_are_taken_than_there_is_room_for() -> None:
    queues = StreamQueues(2, 1_000)
    assert put(queues, "a", "x", "x", "x") == [True, True, False]
    assert put(queues, "b", "x") == [False]


def test_what_is_being_tried_takes_up_room_too() -> None:
    queues = StreamQueues(1, 1_000)
    put(queues, "news", "x")
    queue = take(queues)
    assert put(queues, "news", "y") == [False]
    finish(queues, queue)
    assert put(queues, "news", "y") == [True]


def test_no_more_bytes_are_taken_than_there_is_room_for_but_one_event_always_is() -> None:
    queues = StreamQueues(100, 10)
    assert put(queues, "news", "x" * 20, "x") == [True, False]
    batches(queues)
    assert put(queues, "news", "é" * 3, "x" * 4, "x") == [True, True, False]


def test_hurrying_makes_all_be_due(queues: StreamQueues) -> None:
    for name in "ab":
        put(queues, name, "x")
        queues.give_back(take(queues), due=9.0)
    queues.hurry()
    assert [name for name, _ in batches(queues)] == ["a", "b"]


def test_clearing_tells_of_what_waited_and_a_batch_under_way_is_told_no_more(
    queues: StreamQueues,
) -> None:
    put(queues, "a", *"x" * 150)
    queue = take(queues)
    put(queues, "b", "x")
    assert queues.clear() == {"a": 150, "b": 1}
    assert not queues.finish(queue)
    queues.give_back(queue, due=0.0)
    assert (queues.events, queues.bytes, queues.take(9.0)) == (0, 0, None)
