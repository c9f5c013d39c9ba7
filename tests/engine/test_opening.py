"""What opening a reader, and coming back, costs the broker: nothing where a window knows the cursor."""

from __future__ import annotations

from collections.abc import Callable

from streamy_core import END, OLDEST
from streamy_core.engine.hub import Hub
from streamy_core.engine.reader import SLICE, Reader
from streamy_core.engine.window import WindowLimits
from streamy_core.testing.reading import events, eventually

from .conftest import Follower
from .doubles import FaultyBroker

CLIENTS = 1_000


def test_first_connects_to_many_streams_cost_one_round_trip(broker: FaultyBroker, hub: Hub) -> None:
    names = [f"s{number}" for number in range(100)]
    reader = Reader.open(hub, dict.fromkeys(names))
    assert (broker.tails, broker.reads) == ([names], [])
    assert reader.level


def test_who_comes_back_to_the_head_of_a_stream_costs_no_read(
    broker: FaultyBroker, follow: Callable[..., Follower], hub: Hub
) -> None:
    follower = follow("news")
    (last,) = broker.append("news", events("a"))
    follower.wait_for("a")
    eventually(lambda: hub.distance("news", last) == 0, "the hub stands at the head")
    broker.reads.clear()
    broker.tails.clear()
    readers = [Reader.open(hub, {"news": last}) for _ in range(CLIENTS)]
    for reader in readers:
        assert reader.level
        reader.attach(lambda: None)
        assert reader.due() == []
        assert reader.lagging == []
    assert (broker.reads, broker.tails) == ([], [])


def test_who_comes_back_to_what_the_window_holds_costs_no_read_and_misses_nothing(
    broker: FaultyBroker, follow: Callable[..., Follower], hub: Hub
) -> None:
    follower = follow("news")
    first, *_ = broker.append("news", events("a", "b", "c"))
    follower.wait_for("a", "b", "c")
    broker.reads.clear()
    reader = Reader.open(hub, {"news": first})
    assert [frame.entry.event.data for frame in reader.due()] == ["b", "c"]
    assert broker.reads == []


def test_after_a_restart_the_first_who_comes_back_reads_for_all(broker: FaultyBroker, hub: Hub) -> None:
    cursor, *_ = broker.append("news", events("a", "b", "c"))
    first = Reader.open(hub, {"news": cursor})
    first.attach(lambda: None)
    eventually(lambda: len(broker.reads) == 2, "the hub has looked, too")
    broker.reads.clear()
    others = [Reader.open(hub, {"news": cursor}) for _ in range(CLIENTS)]
    for reader in others:
        assert [frame.entry.event.data for frame in reader.due()] == ["b", "c"]
    assert broker.reads == []


def test_who_has_seen_the_end_is_known_by_the_window(
    broker: FaultyBroker, follow: Callable[..., Follower], hub: Hub
) -> None:
    follow("news")
    broker.end("news")
    end = Reader.open(hub, {"news": OLDEST}).backlog[-1]
    assert end.entry.event.name == END
    eventually(lambda: hub.is_at_the_end("news", end.entry.id), "the hub has met the end")
    broker.reads.clear()
    assert Reader.open(hub, {"news": end.entry.id}).reading == set()
    assert broker.reads == []


def test_a_cursor_that_no_window_holds_is_read_from_the_log(
    broker: FaultyBroker, make_hub: Callable[..., Hub]
) -> None:
    hub = make_hub(window=WindowLimits(entries=1))
    follower = Follower(hub, "news")
    first, *_ = broker.append("news", events("a", "b", "c"))
    follower.wait_for("a", "b", "c")
    broker.reads.clear()
    reader = Reader.open(hub, {"news": first, "other": OLDEST})
    assert [frame.entry.event.data for frame in reader.backlog] == ["b", "c"]
    assert broker.reads == [{"news": first, "other": OLDEST}], "both in one round trip"


def test_a_long_replay_does_not_begin_in_the_window(broker: FaultyBroker, hub: Hub) -> None:
    first, *_ = broker.append("news", events(*["x" * 10_000] * 100))
    reader = Reader.open(hub, {"news": first})
    assert not reader.level, "there is more to read than one slice"
    assert sum(frame.entry.event.size for frame in reader.backlog) <= SLICE


def test_a_window_that_a_reader_brings_along_is_not_its_old_cursor_s(broker: FaultyBroker, hub: Hub) -> None:
    first, *_ = broker.append("news", events(*["x" * 1_000] * 1_000))
    reader = Reader.open(hub, {"news": first})
    while not reader.level:
        for frame in reader.backlog:
            reader.passed(frame)
        reader.lagging = ["news"]
        reader.backlog = reader.read_lagging()
    broker.reads.clear()
    reader.attach(lambda: None)
    eventually(lambda: broker.reads, "the hub has looked at the stream")
    assert hub.distance("news", first) is None, "the hub reads nothing that the reader has read"
