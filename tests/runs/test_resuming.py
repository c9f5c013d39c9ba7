"""A run whose process stops may go on in another one, on a stream of its own, which its readers are told."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask, current_app

from streamy_core import Coalesce, Event, RunEnd, RunOutcome, RunStopped, StreamManager
from streamy_core.engine.outcomes import end_of
from streamy_core.testing.reading import DEADLINE, eventually

from ..engine.doubles import FaultyBroker
from .conftest import Managers, Read

RESUMED = RunEnd(RunOutcome.LOST, resumed_on="chat:1:rest")


class Waiting:
    """Yields these, and then waits until it is closed, or let go."""

    def __init__(self, *items: object) -> None:
        self._items = items
        self._go = threading.Event()
        self.has_yielded = threading.Event()

    def __iter__(self) -> Iterator[object]:
        yield from self._items
        self.has_yielded.set()
        while not self._go.wait(0.01):
            yield Event("", "tick")

    def let_go(self) -> None:
        self._go.set()


class Elsewhere:
    """What has another process do the rest; it remembers for which streams, and what could be read there."""

    def __init__(self, sse: StreamManager, answer: str | None = "chat:1:rest") -> None:
        self._sse = sse
        self._answer = answer
        self.asked: list[str] = []
        self.seen: list[str] = []

    def __call__(self, stream_id: str) -> str | None:
        self.asked.append(stream_id)
        self.seen = [e.event.data for e in self._sse.history(stream_id).entries if e.event.name != "tick"]
        return self._answer


@pytest.mark.parametrize("coalesce", [None, 30.0], ids=["as they come", "while they wait"])
def test_readers_are_told_where_it_goes_on_and_all_that_was_yielded_can_be_read_by_then(
    managers: Managers, read: Read, coalesce: float | None
) -> None:
    sse, other = managers(), managers()
    elsewhere, source = Elsewhere(other), Waiting("a", "b")
    sse.start_run("chat:1", source, coalesce=coalesce, resume=elsewhere)
    reading = read(other, "chat:1")
    assert source.has_yielded.wait(DEADLINE)
    sse.close()
    reading.rest()
    assert (reading.end, elsewhere.asked, "".join(elsewhere.seen)) == (RESUMED, ["chat:1"], "ab")


def test_the_last_progress_can_be_read_by_then(managers: Managers) -> None:
    sse, other = managers(), managers()
    elsewhere = Elsewhere(other)
    run = sse.run("chat:1", resume=elsewhere)
    for done in range(20):
        run.progress(done)
    sse.close()
    assert json.loads(elsewhere.seen[-1])["done"] == 19


@pytest.mark.parametrize("how", ["thread", "executor", "block", "drained"])
def test_however_it_is_produced(managers: Managers, read: Read, how: str) -> None:
    sse, other = managers(), managers()
    elsewhere, source = Elsewhere(other), Waiting("a")

    def block() -> None:
        with sse.run("chat:1", resume=elsewhere) as run:
            for item in source:
                run.send(item)
                run.raise_if_stopped()

    with ThreadPoolExecutor(1) as pool:
        if how == "block":
            pool.submit(block)
        elif how == "drained":
            pool.submit(sse.start_run("chat:1", source, resume=elsewhere, executor=False).drain)
        else:
            sse.start_run("chat:1", source, resume=elsewhere, executor=pool if how == "executor" else None)
        reading = read(other, "chat:1")
        assert source.has_yielded.wait(DEADLINE)
        sse.close()
        reading.rest()
    assert (reading.end, elsewhere.asked) == (RESUMED, ["chat:1"])


def test_also_when_its_producer_does_not_look(managers: Managers, read: Read) -> None:
    sse, other = managers(), managers()
    elsewhere, goes_on = Elsewhere(other), threading.Event()

    def silent() -> Iterator[str]:
        yield "a"
        goes_on.wait(DEADLINE)
        yield "b"

    sse.start_run("chat:1", silent(), resume=elsewhere)
    reading = read(other, "chat:1")
    eventually(lambda: sse.history("chat:1").entries, "the first item")
    sse.close()
    goes_on.set()
    assert [entry.event.data for entry in reading.rest()] == ["a"]
    assert (reading.end, elsewhere.asked) == (RESUMED, ["chat:1"])


def test_it_is_called_in_the_context_of_the_producer() -> None:
    app = Flask("shop")
    names: list[str] = []

    def elsewhere(stream_id: str) -> None:
        names.append(current_app.name)

    source = Waiting("a")
    with StreamManager() as sse:
        sse.init_app(app)
        with app.app_context():
            sse.start_run("chat:1", source, resume=elsewhere)
        assert source.has_yielded.wait(DEADLINE)
    assert names == ["shop"]


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (lambda sse, source: source.let_go(), RunOutcome.DONE),
        (lambda sse, source: sse.stop_run("chat:1"), RunOutcome.STOPPED),
        (lambda sse, source: sse.end_stream("chat:1"), None),
    ],
    ids=["done", "stopped", "ended by somebody"],
)
def test_what_ends_otherwise_goes_on_nowhere(
    managers: Managers, end: Callable[[StreamManager, Waiting], object], outcome: RunOutcome | None
) -> None:
    sse, source = managers(), Waiting("a")
    elsewhere = Elsewhere(sse)
    run = sse.start_run("chat:1", source, resume=elsewhere)
    assert source.has_yielded.wait(DEADLINE)
    end(sse, source)
    assert run.wait(DEADLINE) == outcome
    assert elsewhere.asked == []


def test_of_a_run_that_fails_nothing_goes_on(managers: Managers) -> None:
    sse = managers()
    elsewhere = Elsewhere(sse)

    def fails() -> Iterator[str]:
        yield "a"
        raise RuntimeError("no more")

    assert sse.start_run("chat:1", fails(), resume=elsewhere).wait(DEADLINE) is RunOutcome.FAILED
    assert elsewhere.asked == []


@pytest.mark.parametrize("answer", [None, "", "chat:1", "a\0b"], ids=repr)
def test_what_names_no_stream_leaves_it_lost(
    managers: Managers, read: Read, answer: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    sse, other = managers(), managers()
    elsewhere, source = Elsewhere(other, answer), Waiting("a")
    sse.start_run("chat:1", source, resume=elsewhere)
    reading = read(other, "chat:1")
    assert source.has_yielded.wait(DEADLINE)
    sse.close()
    reading.rest()
    assert reading.end == RunEnd(RunOutcome.LOST)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert told == ([] if answer is None else ["stream 'chat:1': resume has failed, and its run is lost"])


def test_what_raises_leaves_it_lost(managers: Managers, read: Read, caplog: pytest.LogCaptureFixture) -> None:
    sse, other, source = managers(), managers(), Waiting("a")
    sse.start_run("chat:1", source, resume=lambda stream_id: [][0])
    reading = read(other, "chat:1")
    assert source.has_yielded.wait(DEADLINE)
    sse.close()
    reading.rest()
    assert reading.end == RunEnd(RunOutcome.LOST)
    assert "resume has failed" in caplog.text


def test_where_its_end_can_not_be_stored_nothing_goes_on_that_nobody_is_told_of() -> None:
    asked: list[str] = []
    with FaultyBroker() as broker, StreamManager(broker=broker, max_retries=0) as sse:
        run = sse.run("chat:1", coalesce=Coalesce(30.0), resume=lambda name: asked.append(name))
        run.send("a")
        broker.away.set()
        sse.close()
        broker.away.clear()
    assert asked == []


def test_a_block_whose_run_is_to_go_on_elsewhere_is_told_to_stop(managers: Managers) -> None:
    sse = managers()
    run = sse.run("chat:1", resume=lambda stream_id: "chat:1:rest")
    sse.close()
    with pytest.raises(RunStopped):
        run.send("a")
    assert run.outcome is RunOutcome.LOST


def test_an_end_says_where_it_goes_on_as_text() -> None:
    assert end_of(RESUMED.as_event()) == RESUMED
    assert RESUMED.told() == {"outcome": "lost", "resumed_on": "chat:1:rest"}
    assert end_of(Event('{"outcome": "lost", "resumed_on": 5}', "streamy.end")) == RunEnd(
        RunOutcome.LOST, resumed_on="5"
    )
