"""A run that nobody holds any more is ended as lost by others, and its holder can't write then."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

import pytest

from streamy_backends.memory import MemoryBroker
from streamy_core import (
    OLDEST,
    BrokerUnavailable,
    Event,
    RunEnd,
    RunExists,
    RunOutcome,
    RunStopped,
    StreamManager,
)
from streamy_core.broker import Broker
from streamy_core.engine.outcomes import RunStart
from streamy_core.events import LEASES
from streamy_core.runs.leases import MISSING_FOR, Leases, message_of
from streamy_core.testing import FaultyBroker as LosesBells
from streamy_core.testing.reading import eventually

from ..engine.doubles import FaultyBroker
from .conftest import Managers, Read
from .test_runs import Endless, data_of

pytestmark = pytest.mark.slow

LEASE = 1.0


@pytest.fixture
def backend() -> Iterator[Broker]:
    """Real processes have real backends: see `test_processes`."""
    with MemoryBroker() as broker:
        yield broker


def fall_silent(sse: StreamManager) -> None:
    """What this manager holds it tells of no more, as if its process had been killed, or stood still."""
    sse.binding.runs._keeper.close()


def test_what_its_holder_tells_of_no_more_is_ended_as_lost_within_the_lease_and_a_second(
    managers: Managers, read: Read
) -> None:
    holder, other = managers(), managers()
    run = holder.run("job:7", lease=LEASE)
    run.send("a")
    reading = read(other, "job:7")
    other.binding.runs.follow()
    fall_silent(holder)
    began = time.monotonic()
    assert [entry.event.data for entry in reading.rest()] == ["a"]
    assert (reading.end, time.monotonic() - began <= LEASE + 1) == (RunEnd(RunOutcome.LOST), True)
    with pytest.raises(RunStopped):
        run.send("late")
    run.__exit__(None, None, None)
    assert (data_of(other, "job:7"), run.outcome) == (["a"], RunOutcome.LOST)


@pytest.mark.slow
def test_a_run_that_is_told_of_goes_on_for_longer_than_its_lease(managers: Managers) -> None:
    holder, other = managers(), managers()
    other.binding.runs.follow()
    with holder.run("job:7", lease=LEASE) as run:
        time.sleep(2.5 * LEASE)
        run.send("a")
    assert run.outcome is RunOutcome.DONE


def test_a_process_that_comes_after_the_holder_has_gone_ends_it(managers: Managers, read: Read) -> None:
    holder = managers()
    holder.run("job:7", lease=LEASE)
    fall_silent(holder)
    late = managers()
    reading = read(late, "job:7")
    late.binding.runs.follow()
    reading.rest()
    assert reading.end == RunEnd(RunOutcome.LOST)


def test_of_many_who_find_it_lost_one_ends_it(managers: Managers, caplog: pytest.LogCaptureFixture) -> None:
    holder = managers()
    holder.run("job:7", lease=LEASE)
    others = [managers() for _ in range(4)]
    for other in others:
        other.binding.runs.follow()
    fall_silent(holder)
    with caplog.at_level(logging.WARNING, "streamy.runs"):
        eventually(lambda: not any(other.binding.runs.known() for other in others), "ending it")
    assert [record.args for record in caplog.records if record.args[1:] == ("lost",)] == [("job:7", "lost")]


@pytest.mark.slow
def test_what_never_began_is_not_made_by_ending_it(managers: Managers) -> None:
    sse = managers()
    sse.binding.runs.follow()
    told = message_of("somebody", {"never": LEASE}, everything=True)
    sse.broker.append(LEASES, [Event(told)])
    eventually(lambda: sse.binding.runs.known(), "hearing of it")
    eventually(lambda: not sse.binding.runs.known(), "giving it up", within=LEASE * (MISSING_FOR + 2))
    assert not sse.exists("never")


@pytest.mark.slow
def test_an_outage_of_the_backend_loses_no_run(caplog: pytest.LogCaptureFixture) -> None:
    with (
        FaultyBroker() as broker,
        StreamManager(broker=broker) as holder,
        StreamManager(broker=broker) as other,
    ):
        other.binding.runs.follow()
        with holder.run("job:7", lease=LEASE) as run:
            eventually(lambda: other.binding.runs.known(), "hearing of it")
            broker.away.set()
            time.sleep(2 * LEASE)
            broker.away.clear()
            time.sleep(LEASE)
            run.send("a")
        assert run.outcome is RunOutcome.DONE


def test_a_beginning_whose_reply_is_lost_is_ones_own(make_unsure: Callable[[], MemoryBroker]) -> None:
    with make_unsure() as broker, StreamManager(broker=broker) as sse:
        assert sse.run("job:7").held


def test_a_late_starter_whose_key_is_forgotten_has_no_run(managers: Managers) -> None:
    """Keys are remembered for a minute: the first entry decides."""
    sse = managers()
    claims = sse.binding.runs._claims
    first = sse.run("job:7")
    sse.broker.append("job:7", [RunStart("late", 10).as_event()])
    there = claims.claim("job:7", RunStart("later", 10))
    assert there.token not in ("late", "later")
    first.send("a")
    assert data_of(sse, "job:7") == ["a"]


def test_something_that_was_published_first_is_no_run(managers: Managers) -> None:
    sse = managers()
    claims = sse.binding.runs._claims
    sse.send_event("news", "a")
    with pytest.raises(RunExists):
        claims.claim("news", RunStart("mine", 10))


@pytest.fixture
def make_unsure() -> Callable[[], MemoryBroker]:
    class Unsure(MemoryBroker):
        """Each first append to a stream is stored, and its reply lost."""

        loses_replies = True
        unsure: set[str] = set()  # noqa: RUF012 - one for all of this class, which is made for one test

        def append(self, stream_id: str, events: list[Event], **key: str | None) -> list[str]:  # type: ignore[override]
            ids = super().append(stream_id, events, **key)  # type: ignore[arg-type]
            if stream_id not in self.unsure:
                self.unsure.add(stream_id)
                raise BrokerUnavailable("the reply is lost")
            return ids

    return Unsure


@pytest.mark.slow
def test_whose_bells_are_lost_looks_before_it_ends_anything() -> None:
    with (
        LosesBells(MemoryBroker()) as broker,
        StreamManager(broker=broker) as holder,
        StreamManager(broker=broker) as other,
    ):
        other.binding.runs.follow()
        with holder.run("job:7", lease=LEASE) as run:
            eventually(lambda: other.binding.runs.known(), "hearing of it")
            broker.lose_next_bell(1_000)
            time.sleep(2.5 * LEASE)
            run.send("a")
        assert run.outcome is RunOutcome.DONE


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_run_is_stopped_when_nobody_reads_it_and_goes_on_while_somebody_does(
    managers: Managers, read: Read, elsewhere: bool
) -> None:
    holder = managers()
    other = managers() if elsewhere else holder
    other.binding.runs.follow()
    source = Endless()
    run = holder.start_run("chat:1", source, stop_when_alone=LEASE, lease=LEASE)
    reading = read(other, "chat:1")
    source.go()
    time.sleep(2.5 * LEASE)
    assert not run.stopped, "there is a reader"
    reading.close()
    eventually(lambda: run.stopped, "being alone")
    source.go()
    assert run.wait(5) is RunOutcome.STOPPED


class TestLeases:
    """What processes tell of the runs that they hold."""

    def setup_method(self) -> None:
        self.leases = Leases("me", lambda *_: None, rng=lambda: 0.0)

    def tell(self, who: str, *names: str, at: float, everything: bool = True) -> None:
        self.leases.hear(message_of(who, dict.fromkeys(names, 10.0), everything=everything), at)

    def test_a_run_is_overdue_a_lease_after_it_was_heard_of(self) -> None:
        self.tell("other", "a", at=0)
        self.tell("other", "a", at=5)
        assert self.leases.overdue(14.9) == []
        assert self.leases.overdue(15) == ["a"]

    def test_what_a_process_tells_of_no_more_has_ended(self) -> None:
        self.tell("other", "a", "b", at=0)
        self.tell("other", "b", at=1)
        assert self.leases.overdue(20) == ["b"]

    def test_what_begins_is_added_to_what_there_was(self) -> None:
        self.tell("other", "a", at=0)
        self.tell("other", "b", at=1, everything=False)
        assert self.leases.overdue(20) == ["a", "b"]

    def test_ones_own_runs_are_nobodys_to_end(self) -> None:
        self.tell("me", "a", at=0)
        assert self.leases.overdue(100) == []

    def test_whoever_could_not_hear_begins_anew(self) -> None:
        self.tell("other", "a", at=0)
        self.leases.restart(100)
        assert self.leases.overdue(109) == []

    @pytest.mark.parametrize("message", ["", "{", "5", '{"from": 1, "runs": [1]}', '{"runs": {}}'])
    def test_what_is_no_message_is_nothing(self, message: str) -> None:
        self.leases.hear(message, 0)
        assert len(self.leases) == 0


def test_leases_are_told_to_nobody_else(sse: StreamManager) -> None:
    with sse.run("job:7"), sse.subscribe("job:7", after=OLDEST) as entries:
        assert entries.next(0.05) is None
