"""memory:// keeps the contract, and stays within its bounds."""

from __future__ import annotations

import pytest

from streamy_backends.memory import Limits, MemoryBroker, from_url
from streamy_core import ConfigError, StreamEnded
from streamy_core.testing import BrokerContract, MakeBroker
from streamy_core.testing.reading import data_of, events, read, read_all, tail

from ..support.forks import forks, in_child, succeeds, told_by_child


class TestMemoryBroker(BrokerContract):
    @pytest.fixture
    def make_broker(self) -> MakeBroker:
        return lambda log="log", *, history=10_000: MemoryBroker(Limits(history=history))


class Clock:
    """Time that goes on when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def kept(broker: MemoryBroker, name: str = "news") -> list[str]:
    return data_of(read_all(broker, name))


def test_history_is_bounded_by_bytes_but_keeps_the_newest() -> None:
    with MemoryBroker(Limits(history_bytes=10)) as broker:
        broker.append("news", events("x" * 6, "y" * 6))
        assert kept(broker) == ["y" * 6]
        broker.append("news", events("z" * 50))
        assert kept(broker) == ["z" * 50]


def test_history_is_bounded_by_age(clock: Clock) -> None:
    with MemoryBroker(Limits(history_age=60), clock=clock) as broker:
        broker.append("news", events("old"))
        clock.now = 59
        broker.append("news", events("new"))
        assert kept(broker) == ["old", "new"]
        clock.now = 61
        assert kept(broker) == ["new"]


def test_an_idle_stream_is_dropped_and_its_readers_lose_no_place(clock: Clock) -> None:
    with MemoryBroker(Limits(history_age=60), clock=clock) as broker:
        last = broker.append("idle", events("a", "b"))[-1]
        clock.now = 100
        broker.append("busy", events("x"))
        assert [info.entries for info in broker.streams() if info.stream_id == "idle"] == [0]
        assert not read(broker, "idle", last).gap
        broker.append("idle", events("c"))
        assert data_of(read_all(broker, "idle", last)) == ["c"]


def test_who_missed_what_was_dropped_is_told(clock: Clock) -> None:
    with MemoryBroker(Limits(history_age=60), clock=clock) as broker:
        first, *_ = broker.append("idle", events("a", "b"))
        clock.now = 100
        broker.append("busy", events("x"))
        assert read(broker, "idle", first).gap


def test_too_many_streams_drop_the_one_idle_for_longest() -> None:
    with MemoryBroker(Limits(streams=2)) as broker:
        for name in ("a", "b", "a", "c"):
            broker.append(name, events(name))
        assert {info.stream_id: info.entries for info in broker.streams()} == {"a": 2, "b": 0, "c": 1}


def test_too_many_bytes_in_all_drop_the_stream_idle_for_longest() -> None:
    with MemoryBroker(Limits(total_bytes=10)) as broker:
        broker.append("a", events("x" * 6))
        broker.append("b", events("y" * 6))
        assert (kept(broker, "a"), kept(broker, "b")) == ([], ["y" * 6])


def test_an_end_outlives_its_stream_s_entries(clock: Clock) -> None:
    with MemoryBroker(Limits(history_age=60), clock=clock) as broker:
        broker.append("done", events("a"))
        broker.end("done")
        clock.now = 100
        broker.append("busy", events("x"))
        with pytest.raises(StreamEnded):
            broker.append("done", events("b"))
        assert read(broker, "done").ended


def test_tombstones_are_bounded_and_what_is_forgotten_is_a_gap() -> None:
    with MemoryBroker(Limits(streams=1, tombstones=2)) as broker:
        nobody = tail(broker, "nobody")
        last = broker.append("a", events("x"))[-1]
        for name in ("b", "c", "d"):
            broker.append(name, events("x"))
        assert read(broker, "a", last).gap
        assert read(broker, "nobody", nobody).gap, "nothing tells any more that it is still the same"


def test_keys_are_bounded() -> None:
    with MemoryBroker(Limits(keys=2)) as broker:
        for key in ("1", "2", "3", "1"):
            broker.append("news", events(key), idempotency_key=key)
        assert kept(broker) == ["1", "2", "3", "1"]


@forks
def test_a_forked_process_goes_on_by_itself_under_its_own_epoch() -> None:
    with MemoryBroker() as broker:
        (before,) = broker.append("news", events("before"))
        told = told_by_child(lambda: f"{broker.append('news', events('child'))[0]} {kept(broker)}")
        theirs, _, seen = told.partition(" ")
        (mine,) = broker.append("news", events("parent"))
        assert seen == "['before', 'child']"
        assert kept(broker) == ["before", "parent"]
        assert read(broker, "news", theirs).gap
        assert mine.split(".")[0] == before.split(".")[0] != theirs.split(".")[0]


@forks
def test_a_lock_that_another_thread_held_at_the_fork_holds_nobody_up() -> None:
    with MemoryBroker() as broker:
        with broker._mutex:
            child = in_child(lambda: broker.append("news", events("child")))
        assert succeeds(child)


def test_options_come_by_url_or_by_name_and_the_name_wins() -> None:
    with from_url("memory://?history=5&history_age=1.5", {"history": 7}) as broker:
        assert broker._limits == Limits(history=7, history_age=1.5)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("memory://?histroy=5", "option 'histroy' is unknown: did you mean 'history'?"),
        ("memory://?history=many", "'history' has to be a whole number from 1, not 'many'"),
        ("memory://?history=0", "'history' has to be a whole number from 1, not '0'"),
    ],
)
def test_a_bad_option_is_named(url: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        from_url(url, {})
