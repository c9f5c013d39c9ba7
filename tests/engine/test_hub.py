"""The hub reads each stream once, survives everything, and forgets nothing."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from streamy_backends.memory import Limits
from streamy_core import END, GAP, Closed, Event
from streamy_core.broker import Page
from streamy_core.engine import frames as frames_module
from streamy_core.engine.hub import Hub, WindowStart
from streamy_core.engine.log import PAGE
from streamy_core.engine.reader import Reader
from streamy_core.engine.window import WindowLimits
from streamy_core.observers import GapCause, Observer
from streamy_core.testing import ManualClock
from streamy_core.testing.reading import DEADLINE, events, eventually, tail

from .conftest import Follower, hub_of
from .doubles import BringingBroker, FaultyBroker, SlowBroker

Follow = Callable[..., Follower]


class Hearing(Observer):
    """Remembers the gaps and ends that it was told of."""

    def __init__(self) -> None:
        self.gaps: list[tuple[str, str, str, GapCause]] = []
        self.ended: list[str] = []

    def gap(self, stream_id: str, cursor: str, goes_on: str, cause: GapCause) -> None:
        self.gaps.append((stream_id, cursor, goes_on, cause))

    def stream_ended(self, stream_id: str) -> None:
        self.ended.append(stream_id)


def test_nothing_runs_before_the_first_reader(hub: Hub) -> None:
    assert "streamy-hub" not in [thread.name for thread in threading.enumerate()]


def test_an_entry_is_read_and_encoded_once_for_all_readers(
    broker: FaultyBroker, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[Event] = []
    encode = frames_module.encode_body
    monkeypatch.setattr(frames_module, "encode_body", lambda event: (encoded.append(event), encode(event))[1])
    followers = [follow("news") for _ in range(50)]
    eventually(lambda: broker.reads, "the hub has read the stream it was told of")
    broker.reads.clear()
    broker.append("news", events("a"))
    for follower in followers:
        follower.wait_for("a")
    assert [event.data for event in encoded] == ["a"]
    assert sum("news" in read for read in broker.reads) <= 2, "once, and once more to see that it was all"


def test_a_lost_bell_costs_a_delay_and_no_event(broker: FaultyBroker, make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(watchdog=0.05)
    follower = Follower(hub, "news")
    broker.deaf = True
    broker.append("news", events("a"))
    follower.wait_for("a")


class RungMeanwhile(FaultyBroker):
    """Somebody appends to a stream while many are being read without a bell."""

    grows = ""

    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        if len(cursors) > 1 and self.grows and self.grows not in cursors:
            grows, self.grows = self.grows, ""
            self.append(grows, events("rung"))
            self.reads.clear()
        return super().read(cursors, limit, max_bytes)


def test_a_look_at_many_streams_keeps_no_bell_waiting() -> None:
    names = [f"s{n}" for n in range(1_000)]
    with RungMeanwhile(Limits(streams=2_000)) as broker, closing(hub_of(broker, watchdog=0.2)) as hub:
        for name in names:
            hub.attach({name: WindowStart(tail(broker, name), [])}, lambda: None)
        eventually(lambda: names[0] in {name for read in broker.reads for name in read}, "it has begun")
        broker.reads.clear()
        eventually(lambda: len(broker.reads) > 2, "the look without a bell")
        broker.grows = names[-1]
        eventually(lambda: [names[-1]] in [list(read) for read in broker.reads], "the bell is heeded")
        before = [list(read) for read in broker.reads]
        assert before.index([names[-1]]) <= 2, "others were read first, without a bell"
        assert max(map(len, before)) <= 100


def test_every_stream_is_looked_at_however_many_there_are() -> None:
    names = {f"s{n}" for n in range(1_000)}
    with FaultyBroker(Limits(streams=2_000)) as broker, closing(hub_of(broker, watchdog=0.001)) as hub:
        for name in names:
            hub.attach({name: WindowStart(tail(broker, name), [])}, lambda: None)
        eventually(lambda: broker.reads, "it has begun")
        broker.reads.clear()
        eventually(lambda: {name for read in list(broker.reads) for name in read} == names, "all of them")


@pytest.mark.usefixtures("hurried")
def test_lost_bells_are_counted(broker: FaultyBroker, make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(watchdog=0.05)
    follower = Follower(hub, "news")
    eventually(lambda: broker.reads, "the hub has begun")
    broker.deaf = True
    broker.append("news", events("a"))
    follower.wait_for("a")
    eventually(lambda: hub.health.missed_bells == 1, "the missed bell has been counted")


def test_a_bell_that_comes_after_the_look_that_needed_none_is_not_missed(
    broker: FaultyBroker, make_hub: Callable[..., Hub]
) -> None:
    clock = ManualClock()
    hub = make_hub(watchdog=0.1, clock=clock)
    follower = Follower(hub, "news")
    eventually(lambda: broker.reads, "the hub has begun")
    broker.deaf = True
    broker.append("news", events("a"))
    clock.advance(1)
    follower.wait_for("a")
    broker.deaf = False
    broker.append("news", events("b"))
    follower.wait_for("a", "b")
    clock.advance(5)
    broker.append("news", events("c"))
    follower.wait_for("a", "b", "c")
    assert hub.health.missed_bells == 0


def test_what_was_appended_while_the_broker_was_away_arrives(broker: FaultyBroker, follow: Follow) -> None:
    follower = follow("news")
    broker.append("news", events("before"))
    follower.wait_for("before")
    broker.away.set()
    super(FaultyBroker, broker).append("news", events("meanwhile"))
    broker.away.clear()
    follower.wait_for("before", "meanwhile")


def test_an_outage_shows_in_health_and_passes(broker: FaultyBroker, hub: Hub, follow: Follow) -> None:
    follower = follow("news")
    broker.append("news", events("a"))
    follower.wait_for("a")
    broker.away.set()
    super(FaultyBroker, broker).append("news", events("b"))
    eventually(lambda: hub.health.failing, "the outage has been noticed")
    assert "away" in (hub.health.last_failure or "")
    broker.away.clear()
    follower.wait_for("a", "b")
    eventually(lambda: not hub.health.failing, "the hub is well again")


def test_an_unexpected_error_does_not_make_the_process_deaf(broker: FaultyBroker, follow: Follow) -> None:
    follower = follow("news")
    broker.append("news", events("a"))
    follower.wait_for("a")
    broker.broken = ZeroDivisionError("a bug")
    broker.append("news", events("b"))
    follower.wait_for("a", "b")


def test_a_stream_is_watched_no_longer_than_it_is_read(hub: Hub, follow: Follow) -> None:
    first, second = follow("news"), follow("news")
    first.leave()
    assert hub.health.streams == 1
    second.leave()
    assert hub.health.streams == 0


def test_a_stream_that_readers_left_and_came_back_to_is_read_on(broker: FaultyBroker, follow: Follow) -> None:
    for round_ in range(20):
        follower = follow("news")
        broker.append("news", events(str(round_)))
        follower.wait_for(str(round_))
        follower.leave()


def test_a_long_stream_leaves_others_their_turn(broker: FaultyBroker, make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(watchdog=0.5)
    long, short = Follower(hub, "long"), Follower(hub, "short")
    eventually(lambda: {"long", "short"} <= set().union(*broker.reads), "the hub has begun")
    broker.deaf = True  # so that the regular look around finds both at once
    broker.append("long", events(*map(str, range(PAGE * 5))))
    broker.append("short", events("x"))
    broker.reads.clear()
    short.wait_for("x")
    long.wait_for(*map(str, range(PAGE * 5)))
    first_of_short = next(place for place, read in enumerate(broker.reads) if "short" in read)
    last_of_long = max(place for place, read in enumerate(broker.reads) if "long" in read)
    assert first_of_short < last_of_long


def test_a_reader_that_a_window_has_outrun_reads_the_log(
    broker: FaultyBroker, make_hub: Callable[..., Hub]
) -> None:
    hub = make_hub(window=WindowLimits(entries=3))
    slow, quick = Follower(hub, "news"), Follower(hub, "news")
    data = [str(n) for n in range(50)]
    for place, text in enumerate(data):
        broker.append("news", events(text))
        quick.wait_for(*data[: place + 1])
    slow.wait_for(*data)


def test_a_history_that_is_lost_under_a_reader_is_a_gap() -> None:
    with FaultyBroker(Limits(history=5)) as broker:
        hub = hub_of(broker)
        follower = Follower(hub, "news")
        eventually(lambda: broker.reads, "the hub has begun")
        broker.deaf = True
        broker.append("news", events(*map(str, range(20))))
        broker.deaf = False
        broker.append("news", events("20"))
        eventually(lambda: follower._bell.is_set(), "the follower has been woken")
        cursor = follower._reader.position["news"]
        eventually(lambda: hub.frames("news", cursor, 10**6), "the hub has read on")
        names = [frame.entry.event.name for frame in hub.frames("news", cursor, 10**6) or []]
        assert names[0] == "streamy.gap"
        assert names.count("streamy.gap") == 1
        hub.close()


def test_what_has_rung_is_waited_for() -> None:
    with SlowBroker() as broker, closing(hub_of(broker)) as hub, ThreadPoolExecutor(1) as pool:
        follower = Follower(hub, "news")
        eventually(lambda: broker.reads, "the hub has begun")
        start = tail(broker, "news")
        broker.hold_up()
        broker.append("news", events("a"))
        caught_up = pool.submit(lambda: (hub.catch_up(DEADLINE), hub.distance("news", start)))
        eventually(lambda: broker.held_up, "the hub has heard the bell")
        broker.go_on()
        assert caught_up.result(DEADLINE) == (None, 1)
        follower.wait_for("a")


def test_nobody_waits_longer_for_what_has_rung_than_is_said() -> None:
    with SlowBroker() as broker, closing(hub_of(broker)) as hub:
        Follower(hub, "news")
        eventually(lambda: broker.reads, "the hub has begun")
        broker.hold_up()
        broker.append("news", events("a"))
        hub.catch_up(0.01)
        assert broker.held_up == 1
        broker.go_on()


def test_a_hub_that_has_nothing_to_read_is_waited_for_briefly(broker: FaultyBroker, hub: Hub) -> None:
    Follower(hub, "news")
    eventually(lambda: broker.reads, "the hub has begun")
    began = time.monotonic()
    for _ in range(3):
        hub.catch_up(DEADLINE)
    assert time.monotonic() - began < DEADLINE / 2


def test_a_hub_that_has_no_watch_is_not_waited_for(broker: FaultyBroker, hub: Hub) -> None:
    hub.catch_up(DEADLINE)
    Follower(hub, "news")
    hub.close()
    began = time.monotonic()
    hub.catch_up(DEADLINE)
    assert time.monotonic() - began < DEADLINE / 2


def test_a_stopped_hub_takes_no_readers(hub: Hub) -> None:
    hub.close()
    with pytest.raises(Closed):
        hub.attach({"news": WindowStart("x", [])}, lambda: None)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_reads_by_itself(broker: FaultyBroker, follow: Follow) -> None:
    follower = follow("news")
    broker.append("news", events("a"))
    follower.wait_for("a")
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            child = follow("news")
            broker.append("news", events("in the child"))
            child.wait_for("in the child")
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_broker_that_is_closed_under_a_hub_sends_its_readers_away(
    broker: FaultyBroker, hub: Hub, follow: Follow
) -> None:
    follow("news")
    eventually(lambda: broker.reads, "the hub has begun")
    broker.close()
    eventually(lambda: hub.closed, "the hub has stopped")


class OddPolicy:
    def __init__(self, delay: object) -> None:
        self._delay = delay

    def delay(self, attempt: int) -> float | None:
        if isinstance(self._delay, Exception):
            raise self._delay
        return self._delay  # type: ignore[return-value]


@pytest.mark.slow
@pytest.mark.parametrize("delay", [-1.0, float("nan"), "soon", ZeroDivisionError("a bug")], ids=repr)
def test_an_odd_retry_policy_does_not_make_the_process_deaf(
    broker: FaultyBroker, make_hub: Callable[..., Hub], delay: object
) -> None:
    follower = Follower(make_hub(retry=OddPolicy(delay)), "news")
    broker.broken = ZeroDivisionError("a bug")
    broker.append("news", events("a"))
    follower.wait_for("a")


def test_a_reader_that_can_not_be_woken_keeps_no_others_from_it(broker: FaultyBroker, hub: Hub) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a bug")

    for _ in range(5):
        hub.attach({"news": WindowStart(tail(broker, "news"), [])}, lambda: fail())
    follower = Follower(hub, "news")
    broker.append("news", events("a"))
    follower.wait_for("a")


@pytest.fixture
def bringing() -> Iterator[tuple[BringingBroker, Follower]]:
    """A broker whose bells bring entries, and a follower of "news" that the hub has begun to serve."""
    with BringingBroker() as broker, closing(hub_of(broker)) as hub:
        follower = Follower(hub, "news")
        broker.append("news", events("first"))
        follower.wait_for("first")
        broker.reads.clear()
        yield broker, follower
        follower.leave()


def test_what_a_bell_has_brought_is_not_read(bringing: tuple[BringingBroker, Follower]) -> None:
    broker, follower = bringing
    for data in "abc":
        broker.append("news", events(data))
    follower.wait_for("first", "a", "b", "c")
    assert broker.reads == []


def test_what_no_bell_has_brought_is_read(bringing: tuple[BringingBroker, Follower]) -> None:
    broker, follower = bringing
    broker.lost = True
    broker.append("news", events("a"))
    follower.wait_for("first", "a")
    broker.lost = False
    broker.append("news", events("b"))
    follower.wait_for("first", "a", "b")
    assert len(broker.reads) == 1


def test_a_gap_that_a_reader_meets_by_itself_is_told(
    broker: FaultyBroker, make_hub: Callable[..., Hub]
) -> None:
    heard = Hearing()
    hub = make_hub(observer=heard)
    (before,) = broker.append("news", events("before"))
    reader = Reader.open(hub, {"news": None})
    broker.append("news", events(*map(str, range(20_000))))
    assert reader.due() == []
    (gap,) = reader.read_lagging()
    assert gap.entry.event.name == GAP
    assert heard.gaps == [("news", before, gap.entry.id, GapCause.TRIMMED)]


def test_an_end_is_told_once_however_many_readers_meet_it(
    broker: FaultyBroker, make_hub: Callable[..., Hub]
) -> None:
    heard = Hearing()
    hub = make_hub(observer=heard)
    broker.append("news", events("before"))
    readers = [Reader.open(hub, {"news": None}) for _ in range(3)]
    broker.end("news")
    for reader in readers:
        assert reader.due() == []
        assert [frame.entry.event.name for frame in reader.read_lagging()] == [END]
    assert heard.ended == ["news"]
