"""What yields becomes a stream of its own, with an outcome, whatever happens to it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask, current_app, g, has_request_context

from streamy_backends.memory import MemoryBroker
from streamy_core import (
    OLDEST,
    ConfigError,
    Event,
    InvalidEvent,
    RunEnd,
    RunExists,
    RunOutcome,
    RunStopped,
    StreamManager,
    TooManyRuns,
)
from streamy_core.events import LEASES
from streamy_core.testing.reading import DEADLINE, eventually

from ..engine.doubles import FaultyBroker
from .conftest import Managers, Read

word = contextvars.ContextVar("word", default="none")


class Endless:
    """Yields numbers, one for each `go`, until it is closed."""

    def __init__(self) -> None:
        self.may_go = threading.Semaphore(0)
        self.count = 0
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[str]:
        try:
            while self.may_go.acquire(timeout=DEADLINE):
                self.count += 1
                yield f"{self.count} "
        finally:
            self.closed.set()

    def go(self, count: int = 1) -> None:
        self.may_go.release(count)


def data_of(sse: StreamManager, stream_id: str) -> list[str]:
    return [entry.event.data for entry in sse.history(stream_id, 1_000).entries]


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_the_history_of_a_run_that_has_ended_gives_its_newest_entries_and_all_by_pages(
    sse: StreamManager, limit: int
) -> None:
    sse.start_run("chat:1", iter("xyz")).wait(DEADLINE)
    page = sse.history("chat:1", limit)
    found = [entry.event.data for entry in page.entries]
    assert found[-1] == "z"
    while page.before is not None:
        page = sse.history("chat:1", limit, page.before)
        found[:0] = [entry.event.data for entry in page.entries]
    assert found == ["x", "y", "z"]


def test_all_that_is_yielded_is_there_and_then_the_end_says_done(sse: StreamManager, read: Read) -> None:
    items = ["text", {"a": 1}, Event("own", "named"), 5]
    run = sse.start_run("chat:1", items, event_name="token")
    reading = read(sse, "chat:1")
    assert [(entry.event.name, entry.event.data) for entry in reading.rest()] == [
        ("token", "text"),
        ("token", '{"a": 1}'),
        ("named", "own"),
        ("token", "5"),
    ]
    assert (reading.end, run.wait(DEADLINE)) == (RunEnd(RunOutcome.DONE), RunOutcome.DONE)


def test_who_comes_after_the_end_is_told_the_outcome(sse: StreamManager) -> None:
    sse.start_run("chat:1", ["a"]).wait(DEADLINE)
    for cursor in (sse.cursor("chat:1"), sse.history("chat:1").cursor, None):
        with sse.subscribe("chat:1", after=cursor) as entries:
            assert list(entries) == []
            assert entries.ends["chat:1"] == RunEnd(RunOutcome.DONE), cursor


def test_an_end_that_is_no_runs_has_no_outcome(sse: StreamManager, read: Read) -> None:
    sse.send_event("news", "a")
    sse.end_stream("news")
    reading = read(sse, "news")
    assert (len(reading.rest()), reading.end) == (1, None)


def test_an_async_iterable_is_produced_as_any_other_and_closed_when_it_is_stopped(
    sse: StreamManager, read: Read
) -> None:
    closed = threading.Event()

    async def numbers() -> AsyncIterator[str]:
        try:
            for number in range(1_000_000):
                yield str(number)
                await asyncio.sleep(0.001)
        finally:
            closed.set()

    run = sse.start_run("chat:1", numbers())
    eventually(lambda: len(data_of(sse, "chat:1")) > 3, "producing")
    sse.stop_run("chat:1")
    assert run.wait(DEADLINE) is RunOutcome.STOPPED
    assert closed.is_set()


def test_an_error_ends_it_as_failed_and_its_text_is_told_only_where_that_is_asked_for(
    sse: StreamManager, read: Read
) -> None:
    def fails() -> Iterator[str]:
        yield "before"
        raise ValueError("the secret")

    sse.start_run("quiet", fails())
    sse.start_run("told", fails(), on_error=str)
    for name, error in (("quiet", None), ("told", "the secret")):
        reading = read(sse, name)
        assert [entry.event.data for entry in reading.rest()] == ["before"]
        assert reading.end == RunEnd(RunOutcome.FAILED, error)


def test_an_item_that_cannot_be_published_fails_the_run_and_is_named(sse: StreamManager, read: Read) -> None:
    sse.start_run("chat:1", ["fine", b"bytes", "never"], on_error=str)
    reading = read(sse, "chat:1")
    assert [entry.event.data for entry in reading.rest()] == ["fine"]
    assert reading.end is not None
    assert reading.end.error is not None
    assert reading.end.error.startswith("item 2 of the run: an event's data is text or JSON, not bytes")


@pytest.mark.parametrize("coalesce", [None, 5.0])
def test_a_stop_closes_the_producer_after_its_item_and_keeps_what_was_yielded(
    sse: StreamManager, read: Read, coalesce: float | None
) -> None:
    source = Endless()
    items = iter(source)  # which is here for longer than the run
    run = sse.start_run("chat:1", items, coalesce=coalesce)
    source.go(3)
    eventually(lambda: source.count == 3, "producing")
    sse.stop_run("chat:1")
    source.go()
    assert run.wait(DEADLINE) is RunOutcome.STOPPED
    assert source.closed.is_set(), "a generator that is stopped is closed"
    reading = read(sse, "chat:1")
    text = "".join(entry.event.data for entry in reading.rest())
    assert text == "".join(f"{number} " for number in range(1, source.count + 1))
    assert reading.end == RunEnd(RunOutcome.STOPPED)


def test_a_stop_is_heard_by_another_process(managers: Managers) -> None:
    source = Endless()
    run = managers().start_run("chat:1", source)
    elsewhere = managers()
    source.go()
    elsewhere.stop_run("chat:1")
    eventually(lambda: run.stopped, "hearing of the stop")
    source.go()
    assert run.wait(DEADLINE) is RunOutcome.STOPPED


def test_stopping_what_has_ended_or_is_not_there_stores_nothing(sse: StreamManager) -> None:
    sse.start_run("over", ["a"]).wait(DEADLINE)
    sse.send_event("plain", "a")
    sse.end_stream("plain")
    names = ("over", "plain", "nobody's")
    before = sse.broker.tail(names)
    for name in names:
        sse.stop_run(name)
    assert sse.broker.tail(names) == before
    told = sse.broker.read({LEASES: OLDEST}, 100)[LEASES].entries
    assert "stop" not in [entry.event.name for entry in told]
    assert not sse.exists("nobody's")


def test_a_name_in_use_is_refused_and_nothing_is_stored(sse: StreamManager) -> None:
    sse.send_event("news", "a")
    sse.start_run("chat:1", ["a"]).wait(DEADLINE)
    before = sse.broker.tail(["news", "chat:1"])
    for name in ("news", "chat:1"):
        with pytest.raises(RunExists, match=r"is in use: give each run a name of its own"):
            sse.start_run(name, ["b"])
    assert sse.broker.tail(["news", "chat:1"]) == before


def test_who_joins_follows_the_run_that_is_there_if_the_key_is_the_same(managers: Managers) -> None:
    source, other = Endless(), Endless()
    run = managers().start_run("chat:1", source, key="user:1")
    elsewhere = managers(run_threads=1)
    with pytest.raises(RunExists):
        elsewhere.start_run("chat:1", other, join=True, key="user:2")
    elsewhere.start_run("chat:1", other, join=True, key="user:1")
    joined = elsewhere.start_run("chat:1", other, join=True, key="user:1")
    assert (run.held, joined.held, joined.outcome) == (True, False, None)
    joined.stop()
    eventually(lambda: run.stopped, "hearing of the stop")
    source.go()
    assert joined.wait(DEADLINE) is RunOutcome.STOPPED
    assert other.count == 0


def test_of_many_that_start_at_once_one_has_it(managers: Managers) -> None:
    several = [managers() for _ in range(4)]

    def start(number: int, race: int) -> int | None:
        try:
            several[number].start_run(f"chat:{race}", [str(number)])
        except RunExists:
            return None
        return number

    with ThreadPoolExecutor(4) as pool:
        for race in range(10):
            won = [who for who in pool.map(start, range(4), [race] * 4) if who is not None]
            assert len(won) == 1, f"{won} have started it"
            eventually(lambda race=race: len(data_of(several[0], f"chat:{race}")) == 1, "producing")
            assert data_of(several[0], f"chat:{race}") == [str(won[0])]
            stored = several[0].broker.read({f"chat:{race}": OLDEST}, 10)[f"chat:{race}"]
            assert len(stored.entries) <= 3, "the others have left nothing"


def test_of_two_starters_in_one_process_the_one_that_has_it_goes_on_holding_it(
    managers: Managers,
) -> None:
    sse = managers()
    with sse.run("job:7", lease=1) as run:
        for _ in range(3):
            with pytest.raises(RunExists):
                sse.run("job:7")
        assert [held.stream_id for held in sse.binding.runs.going()] == ["job:7"]
        run.send("a")
    assert sse.binding.runs.going() == []


def test_a_block_ends_a_run_as_it_ends_itself(sse: StreamManager) -> None:
    with sse.run("done") as done:
        done.send("a", "row")
    with sse.run("stopped") as stopped:
        stopped.send("a")
        sse.stop_run("stopped")
        while True:
            stopped.raise_if_stopped()
    with pytest.raises(KeyError), sse.run("failed") as failed:
        raise KeyError("no")
    with pytest.raises(KeyboardInterrupt), sse.run("lost") as lost:
        raise KeyboardInterrupt
    assert [run.outcome for run in (done, stopped, failed, lost)] == ["done", "stopped", "failed", "lost"]
    assert data_of(sse, "stopped") == ["a"]


def test_a_stream_that_somebody_ends_takes_nothing_more_of_its_run(sse: StreamManager) -> None:
    with sse.run("job:7") as run:
        run.send("a")
        sse.end_stream("job:7")
        with pytest.raises(RunStopped, match="ended"):
            run.send("b")
        assert run.stopped
    assert (data_of(sse, "job:7"), run.outcome) == (["a"], None)


def test_a_run_that_is_drained_is_produced_by_who_calls(sse: StreamManager) -> None:
    threads: list[threading.Thread] = []

    def who() -> Iterator[str]:
        threads.append(threading.current_thread())
        yield "a"

    run = sse.start_run("chat:1", who(), executor=False)
    assert data_of(sse, "chat:1") == []
    run.drain()
    run.drain()
    assert (threads, run.outcome) == ([threading.current_thread()], RunOutcome.DONE)
    with ThreadPoolExecutor(1, "mine") as pool:
        assert sse.start_run("chat:2", who(), executor=pool).wait(DEADLINE) is RunOutcome.DONE
    assert threads[1].name.startswith("mine")


def test_a_producer_has_the_context_and_an_app_context_and_no_request() -> None:
    app = Flask(__name__)
    sse = StreamManager(app)

    def answer() -> Iterator[object]:
        yield [word.get(), current_app.name, has_request_context(), "user" in g]

    @app.post("/ask")
    def ask() -> str:
        word.set("given")
        g.user = "ann"
        sse.start_run("chat:1", answer()).wait(DEADLINE)
        return ""

    app.test_client().post("/ask")
    with app.app_context():
        assert data_of(sse, "chat:1") == [f'["given", "{app.name}", false, false]']
    sse.close()


def test_no_more_runs_have_threads_than_is_set_and_nothing_of_others_is_stored(managers: Managers) -> None:
    sse = managers(run_threads=1)
    source = Endless()
    first = sse.start_run("first", source)
    with pytest.raises(TooManyRuns, match="STREAMY_RUN_THREADS"):
        sse.start_run("second", ["a"])
    assert not sse.exists("second")
    first.stop()
    source.go()
    first.wait(DEADLINE)
    eventually(lambda: _starts(sse), "the end of the thread")


def _starts(sse: StreamManager) -> bool:
    try:
        sse.start_run("second", ["a"])
    except TooManyRuns:
        return False
    return True


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        (("chat:1", "text"), TypeError, "is no str: give it as"),
        (("chat:1", 5), TypeError, "takes an iterable or an async iterable, and not int"),
        (("chat:1", iter), TypeError, "a generator function is none yet"),
        (("chat:1", [], {"event_name": "streamy.end"}), InvalidEvent, "are reserved"),
        (("chat:1", [], {"lease": 0.5}), ValueError, "lease is from 1 to 3600 seconds"),
        (("chat:1", [], {"coalesce": -1}), ValueError, "coalesce is more than 0 seconds"),
        (("chat:1", [], {"executor": 5}), TypeError, "has a method submit, and int has none"),
        (("chat:1", [], {"stop_when_alone": 0}), ValueError, "stop_when_alone is from 1"),
        (("chat:1", [], {"on_error": "text"}), TypeError, "on_error is a function"),
        (("chat:1", [], {"resume": "job"}), TypeError, "resume is a function of a stream id"),
    ],
    ids=str,
)
def test_what_cannot_be_run_is_refused_and_nothing_is_stored(
    given: tuple[object, ...], error: type[Exception], told: str
) -> None:
    stream_id, items, *options = given
    with StreamManager() as sse:
        with pytest.raises(error, match=told):
            sse.start_run(stream_id, items, **(options[0] if options else {}))  # type: ignore[arg-type]
        assert not sse.exists("chat:1")


def test_a_broker_that_cannot_append_last_is_refused_by_name() -> None:
    class Plain(MemoryBroker):
        append_last = None  # type: ignore[assignment]

    with Plain() as broker, StreamManager(broker=broker) as sse:
        with pytest.raises(ConfigError, match="Plain can't be used for runs: it has no append_last"):
            sse.start_run("chat:1", ["a"])
        assert not sse.exists("chat:1")


def test_a_run_that_is_closed_with_its_manager_is_lost(managers: Managers, read: Read) -> None:
    source = Endless()
    sse = managers()
    sse.start_run("chat:1", source)
    source.go()
    eventually(lambda: source.count == 1, "producing")
    reading = read(managers(), "chat:1")
    sse.close()
    assert [entry.event.data for entry in reading.rest()] == ["1 "]
    assert reading.end == RunEnd(RunOutcome.LOST)


def test_what_fails_for_a_moment_is_tried_again_and_stored_once() -> None:
    with FaultyBroker() as broker, StreamManager(broker=broker, max_retries=20) as sse:
        run = sse.start_run("chat:1", Endless(), executor=False)
        broker.away.set()
        timer = threading.Timer(0.1, broker.away.clear)
        timer.start()
        run.send("a")
        timer.join()
        assert data_of(sse, "chat:1") == ["a"]
