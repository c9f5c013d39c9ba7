"""Runs come to an end that everybody is told, whatever fails at the worst moment."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from streamy_backends.memory import MemoryBroker
from streamy_core import (
    BrokerUnavailable,
    Coalesce,
    Event,
    InvalidEvent,
    PublishFailed,
    Run,
    RunEnd,
    RunExists,
    RunOutcome,
    StreamManager,
)
from streamy_core.commands import leases_event, stop_command
from streamy_core.engine.outcomes import RunStart, start_of
from streamy_core.events import LEASES, RUN
from streamy_core.runs.coalescing import Buffer
from streamy_core.runs.flusher import Flusher
from streamy_core.runs.leases import Leases, message_of
from streamy_core.strategies import FixedDelay
from streamy_core.testing.reading import DEADLINE, eventually

from ..engine.doubles import FaultyBroker
from .conftest import Managers, Read, Reading
from .test_keeping import LEASE, fall_silent
from .test_runs import data_of

pytestmark = pytest.mark.slow


class Gated(MemoryBroker):
    """Where `gate` is closed, what a process tells of all of its runs waits, before it is stored or after."""

    def __init__(self, *, stored: bool) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.waits = threading.Event()
        self._stored = stored

    def append(self, stream_id, events, *, idempotency_key=None):  # type: ignore[no-untyped-def]
        waits = stream_id == LEASES and '"all":true' in events[0].data and not self.gate.is_set()
        if waits and not self._stored:
            self._wait()
        ids = super().append(stream_id, events, idempotency_key=idempotency_key)
        if waits and self._stored:
            self._wait()
        return ids

    def _wait(self) -> None:
        self.waits.set()
        self.gate.wait(DEADLINE)


@contextmanager
def begun_while_others_are_told(*, stored: bool) -> Iterator[tuple[StreamManager, StreamManager, Run]]:
    """A holder, another, and a run that began while the holder told that it holds none."""
    with (
        Gated(stored=stored) as broker,
        StreamManager(broker=broker) as holder,
        StreamManager(broker=broker) as other,
    ):
        other.binding.runs.follow()
        broker.gate.clear()
        with holder.run("job:1", lease=LEASE):
            pass
        assert broker.waits.wait(DEADLINE), "it tells that it holds none"
        run = holder.run("job:2", lease=LEASE)
        broker.gate.set()
        yield holder, other, run


@pytest.mark.slow
@pytest.mark.parametrize("stored", [False, True])
def test_a_run_that_begins_while_others_are_told_of_all_is_held(stored: bool) -> None:
    with begun_while_others_are_told(stored=stored) as (_, _, run):
        with run:
            assert run.wait(2 * LEASE) is None, "it is told of"
            run.send("a")
        assert run.outcome is RunOutcome.DONE


def test_a_run_that_begins_while_others_are_told_of_all_is_known_to_them(read: Read) -> None:
    with begun_while_others_are_told(stored=False) as (holder, other, _):
        fall_silent(holder)
        reading = read(other, "job:2")
        reading.rest(LEASE + 1)
        assert reading.end == RunEnd(RunOutcome.LOST)


class FaultyLast(FaultyBroker):
    """Loses the replies to beginnings, or can't store ends, when told so."""

    fails = False
    loses = False

    def append(self, stream_id, events, *, idempotency_key=None):  # type: ignore[no-untyped-def]
        ids = super().append(stream_id, events, idempotency_key=idempotency_key)
        if self.loses and stream_id != LEASES:
            raise BrokerUnavailable("the reply is lost")
        return ids

    def append_last(self, stream_id, events, *, idempotency_key=None):  # type: ignore[no-untyped-def]
        if self.fails:
            raise BrokerUnavailable("the broker is away")
        return super().append_last(stream_id, events, idempotency_key=idempotency_key)


@contextmanager
def holder_and_other(broker: FaultyLast) -> Iterator[tuple[StreamManager, StreamManager]]:
    """Two managers, of which the second hears of the first one's runs, and ends those that are lost."""
    with (
        broker,
        StreamManager(broker=broker, retry=FixedDelay(0.01, 1)) as holder,
        StreamManager(broker=broker) as other,
    ):
        other.binding.runs.follow()
        yield holder, other


def assert_is_lost(reading: Reading) -> None:
    reading.rest(3 * LEASE)
    assert reading.end == RunEnd(RunOutcome.LOST)


def test_an_end_that_could_not_be_stored_is_told_as_lost_once_the_backend_is_back(read: Read) -> None:
    broker = FaultyLast()
    with holder_and_other(broker) as (holder, other):
        reading = read(other, "job:7")
        with holder.run("job:7", lease=LEASE):
            broker.fails = True
        eventually(lambda: not holder.binding.runs.going(), "giving it up")
        broker.fails = False
        assert_is_lost(reading)


def test_a_beginning_that_was_stored_without_its_starter_knowing_is_ended_as_lost(read: Read) -> None:
    broker = FaultyLast()
    with holder_and_other(broker) as (holder, other):
        broker.loses = True
        with pytest.raises(PublishFailed):
            holder.run("job:7", lease=LEASE)
        broker.loses = False
        reading = read(other, "job:7")
        assert_is_lost(reading)


def test_texts_that_pile_up_are_no_entry_that_is_too_large() -> None:
    with FaultyBroker() as broker, StreamManager(broker=broker, retry=FixedDelay(0.01, 10_000)) as sse:
        with sse.run("chat:1", coalesce=0.01) as run:
            broker.away.set()
            for _ in range(250):
                run.send("\n" * 1_000)
            broker.away.clear()
        assert run.outcome is RunOutcome.DONE
        assert sum(map(len, data_of(sse, "chat:1"))) == 250_000


@pytest.mark.parametrize("text", ["a", "\N{GRINNING FACE}", "\n"])
def test_texts_are_joined_to_no_more_than_an_event_may_have(text: str) -> None:
    with StreamManager(max_event_bytes=1_000) as sse:
        with sse.run("chat:1", coalesce=10) as run:
            for _ in range(50):
                run.send(text * 100)
        assert run.outcome is RunOutcome.DONE
        assert "".join(data_of(sse, "chat:1")) == text * 5_000


def test_texts_without_a_character_count_too_towards_what_may_wait() -> None:
    buffer = Buffer(Coalesce(1.0), Event)
    for _ in range(10):
        buffer.add("", None, 0, now=0.0)
    assert buffer.size == 10


def test_an_iterable_that_cannot_be_closed_is_no_run_without_an_end(sse: StreamManager) -> None:
    class Stubborn:
        def __iter__(self) -> Iterator[str]:
            return iter(())

        def close(self) -> None:
            raise OSError("not now")

    run = sse.start_run("job:7", Stubborn(), executor=False)
    sse.stop_run("job:7")
    run.drain()
    assert run.wait(1) is RunOutcome.STOPPED


def test_a_text_of_an_error_that_is_none_does_not_keep_it_from_ending(sse: StreamManager) -> None:
    class Mute:
        def __str__(self) -> str:
            raise ValueError("no text")

    run = sse.start_run("job:7", iter([b"no text"]), on_error=lambda _: Mute())
    assert run.wait(DEADLINE) is RunOutcome.FAILED


@pytest.mark.parametrize("seconds", ["NaN", "Infinity", "-1", "1e9", "0"])
def test_a_lease_that_cannot_be_is_not_kept(seconds: str) -> None:
    leases = Leases("me", lambda *_: None)
    leases.hear(f'{{"from": "x", "runs": {{"job:7": {seconds}}}}}', 0)
    assert len(leases) == 0


@pytest.mark.parametrize("name", ["", "a\\u0000", "\\ud83d", "\\u001fstreamy.control"])
def test_what_can_be_no_run_is_not_kept_with_those_that_can(name: str) -> None:
    leases = Leases("me", lambda *_: None, rng=lambda: 0.0)
    leases.hear(f'{{"from": "x", "runs": {{"{name}": 10, "job:7": 10}}}}', 0)
    assert leases.overdue(10) == ["job:7"]


def test_a_message_that_is_nested_without_end_is_nothing() -> None:
    leases = Leases("me", lambda *_: None)
    leases.hear('{"from": ' + "[" * 100_000, 0)
    assert len(leases) == 0


def test_who_has_tried_in_vain_to_begin_a_run_does_not_have_it_forgotten() -> None:
    leases = Leases("me", lambda *_: None, rng=lambda: 0.0)
    leases.hear(message_of("holder", {"job:7": 10.0}, everything=False), 0)
    leases.hear(message_of("loser", {"job:7": 10.0}, everything=False), 1)
    leases.hear(message_of("loser", {}, everything=True), 2)
    assert leases.overdue(11) == ["job:7"]
    leases.hear(message_of("holder", {}, everything=True), 12)
    assert len(leases) == 0


def test_a_stream_that_is_no_run_is_not_ended_though_somebody_has_told_that_he_holds_it(
    sse: StreamManager,
) -> None:
    sse.send_event("news", "a")
    told = message_of("somebody", {"news": LEASE}, everything=True)
    sse.binding.runs.follow()
    sse.broker.append(LEASES, [leases_event(told)])
    eventually(lambda: "news" in sse.binding.runs.known(), "it was told")
    eventually(lambda: "news" not in sse.binding.runs.known(), "it was looked at")
    with sse.subscribe("news") as entries:
        sse.send_event("news", "b")
        assert [entry.event.data for entry in (entries.next(DEADLINE),) if entry] == ["b"]


@pytest.mark.parametrize("most", [1, 100])
def test_what_is_due_does_not_wait_for_what_is_slow(most: int) -> None:
    def flush(due: list[Callable[[], object]]) -> None:
        for call in due:
            call()

    flusher = Flusher(flush, most=most)
    slow, called = threading.Event(), threading.Event()
    try:
        ready = threading.Event()
        flusher.flush_at(0, ready.set)
        assert ready.wait(DEADLINE)
        eventually(lambda: flusher._idle, "waiting")
        now = time.monotonic()
        flusher.flush_at(now + 0.1, lambda: slow.wait(DEADLINE))
        flusher.flush_at(now + 0.2, called.set)
        assert called.wait(2)
    finally:
        slow.set()
        flusher.close()


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_child_that_is_forked_within_the_block_does_not_end_the_run(sse: StreamManager) -> None:
    with sse.run("job:7") as run:
        if (child := os.fork()) == 0:
            with suppress(BaseException):
                run.__exit__(None, None, None)
            os._exit(0)
        os.waitpid(child, 0)
        run.send("a")
    assert (data_of(sse, "job:7"), run.outcome) == (["a"], RunOutcome.DONE)


def test_an_async_iterable_that_is_cancelled_by_itself_has_failed(sse: StreamManager) -> None:
    async def cancelled() -> AsyncIterator[str]:
        yield "a"
        raise asyncio.CancelledError

    assert sse.start_run("job:7", cancelled()).wait(DEADLINE) is RunOutcome.FAILED


def test_a_stop_of_a_run_whose_name_is_free_again_stops_no_other(managers: Managers) -> None:
    first, other, later = managers(), managers(), managers()
    with first.run("job:7") as run:
        other.stop_run("job:7")
        eventually(lambda: run.stopped, "hearing of it")
        other.broker.append(LEASES, [stop_command("job:8")])
    with later.run("job:8") as run:
        assert later.binding.runs._keeper.wait_until_known(DEADLINE)
        assert not run.stopped
        other.stop_run("job:8")
        eventually(lambda: run.stopped, "hearing of it")


@pytest.mark.parametrize("lease", ["NaN", "Infinity", "-1", "0"])
def test_a_beginning_with_a_lease_that_cannot_be_is_none(lease: str) -> None:
    assert start_of(Event(f'{{"token": "x", "lease": {lease}, "key": null}}', RUN)) is None


def test_a_stop_by_who_tries_in_vain_to_begin_a_run_reaches_the_one_that_has_it(
    managers: Managers, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder, late = managers(), managers()
    claims = late.binding.runs._claims
    claim = claims.claim

    def stop_amid(stream_id: str, start: RunStart) -> RunStart:
        monkeypatch.undo()
        late.stop_run(stream_id)
        return claim(stream_id, start)

    with holder.run("job:7") as run:
        monkeypatch.setattr(claims, "found", lambda _: None)
        monkeypatch.setattr(claims, "claim", stop_amid)
        with pytest.raises(RunExists):
            late.run("job:7")
        eventually(lambda: run.stopped, "hearing of it")


class Refusing(MemoryBroker):
    """Away for what is appended to these streams."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.asked = 0

    def append(self, stream_id, events, *, idempotency_key=None):  # type: ignore[no-untyped-def]
        self._look(stream_id)
        return super().append(stream_id, events, idempotency_key=idempotency_key)

    def append_last(self, stream_id, events, *, idempotency_key=None):  # type: ignore[no-untyped-def]
        self._look(stream_id)
        return super().append_last(stream_id, events, idempotency_key=idempotency_key)

    def _look(self, stream_id: str) -> None:
        if stream_id in self.refused:
            self.asked += 1
            raise BrokerUnavailable("it is away")


@pytest.fixture
def refusing() -> Iterator[Refusing]:
    with Refusing() as broker:
        yield broker


def test_a_stop_that_fails_ends_no_stream_that_all_runs_need(refusing: Refusing) -> None:
    settings = {"max_retries": 0, "end_stream_on_failure": True}
    with (
        StreamManager(broker=refusing, **settings) as holder,
        StreamManager(broker=refusing, **settings) as other,
        holder.run("job:1"),
    ):
        refusing.refused.add(LEASES)
        with pytest.raises(PublishFailed):
            other.stop_run("job:1")
        refusing.refused.clear()
        assert other.start_run("job:2", ["a"]).wait(DEADLINE) is RunOutcome.DONE


def test_a_run_that_cannot_be_written_has_failed_also_where_streams_are_ended_then(
    refusing: Refusing,
) -> None:
    with StreamManager(broker=refusing, max_retries=0, end_stream_on_failure=True) as sse:

        def away_for_one() -> Iterator[str]:
            refusing.refused.add("job:1")
            yield "a"

        run = sse.start_run("job:1", away_for_one(), executor=False)
        original = run._own.writer.settle  # type: ignore[union-attr]

        def back(error: Exception | None) -> None:
            refusing.refused.clear()
            original(error)

        run._own.writer.settle = back  # type: ignore[union-attr, method-assign]
        run.drain()
        assert run.outcome is RunOutcome.FAILED


def test_while_others_cannot_be_told_that_the_last_run_is_over_they_are_tried_now_and_then(
    refusing: Refusing,
) -> None:
    with StreamManager(broker=refusing, max_retries=0) as sse:
        with sse.run("job:1"):
            refusing.refused.add(LEASES)
        sse.binding.runs._keeper._renew_at = 0.0
        sse.binding.runs._keeper._woken.set()
        eventually(lambda: refusing.asked > 0, "a first try")
        before = refusing.asked
        time.sleep(1.0)
        assert refusing.asked - before <= 4


def test_a_note_that_is_too_long_is_refused_where_it_is_given_and_the_run_goes_on() -> None:
    with (
        StreamManager(broker=MemoryBroker(), max_event_bytes=100) as sse,
        sse.run("job:1", coalesce=0.05) as run,
    ):
        run.progress(1, total=9)
        with pytest.raises(InvalidEvent):
            run.progress(2, total=9, note="x" * 200)
        run.send("a")
    assert run.outcome is RunOutcome.DONE


@pytest.mark.parametrize("way", ["cancelled", "another process"])
def test_a_run_that_its_executor_does_not_produce_is_lost_at_once(sse: StreamManager, way: str) -> None:
    executor: Executor
    if way == "cancelled":
        busy = threading.Event()
        executor = ThreadPoolExecutor(1)
        executor.submit(busy.wait, DEADLINE)
        run = sse.start_run("job:1", ["a"], executor=executor)
        executor.shutdown(wait=False, cancel_futures=True)
        busy.set()
    else:
        executor = ProcessPoolExecutor(1)
        run = sse.start_run("job:1", ["a"], executor=executor)
    assert run.wait(DEADLINE) is RunOutcome.LOST
    executor.shutdown()


def test_one_lost_run_that_cannot_be_ended_keeps_no_other_from_its_end(
    refusing: Refusing, read: Read
) -> None:
    with StreamManager(broker=refusing) as holder, StreamManager(broker=refusing, max_retries=0) as other:
        for name in ("job:1", "job:2"):
            holder.run(name, lease=LEASE)
        reading = read(other, "job:2")
        refusing.refused.add("job:1")
        with pytest.raises(PublishFailed, match="job:1"):
            other.binding.runs._keeper.end_lost(["job:1", "job:2"])
        reading.rest()
        assert reading.end == RunEnd(RunOutcome.LOST)
        refusing.refused.clear()
