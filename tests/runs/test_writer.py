"""What a run yields is in its log to the letter, in order, however it is put together."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress

import pytest
from flask import Flask, Response
from hypothesis import given, settings
from hypothesis import strategies as st

from streamy_backends.memory import MemoryBroker
from streamy_core import (
    OLDEST,
    Coalesce,
    Event,
    InvalidEvent,
    PublishFailed,
    Run,
    RunOutcome,
    RunStopped,
    StreamManager,
)
from streamy_core.runs import flusher as flushing
from streamy_core.runs import progress as progresses
from streamy_core.runs.flusher import Flusher
from streamy_core.strategies import FixedDelay
from streamy_core.testing.reading import DEADLINE, eventually

from ..engine.doubles import Counting, FaultyBroker
from ..support.event_stream import FrameReader
from .test_runs import data_of

LONG = 50.0

words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
lines = st.lists(st.one_of(words, st.sampled_from(["\n", " \n", "\n\n", "a" * 2_000])), max_size=40)


@pytest.fixture
def sse() -> Iterator[StreamManager]:
    with StreamManager() as sse:
        yield sse


def entries_of(sse: StreamManager, stream_id: str) -> list[tuple[str | None, str]]:
    return [(entry.event.name, entry.event.data) for entry in sse.history(stream_id, 1_000).entries]


def test_texts_that_come_close_together_are_one_entry(sse: StreamManager) -> None:
    with sse.run("chat:1", event_name="token", coalesce=LONG) as run:
        for text in ("a", "b", "", "c"):
            run.send(text)
    assert entries_of(sse, "chat:1") == [("token", "abc")]


def test_a_piece_does_not_wait_for_longer_than_is_said(sse: StreamManager) -> None:
    with sse.run("chat:1", coalesce=0.02) as run:
        run.send("a")
        eventually(lambda: data_of(sse, "chat:1") == ["a"], "publishing it")
        run.send("b")
        eventually(lambda: data_of(sse, "chat:1") == ["a", "b"], "publishing it")


def test_what_several_runs_have_yielded_at_the_same_time_is_stored_together() -> None:
    with Counting() as broker, StreamManager(broker=broker) as sse, ExitStack() as open_runs:
        runs = [open_runs.enter_context(sse.run(f"chat:{n}", coalesce=0.05)) for n in range(10)]
        for run in runs:
            run.send("a")
            run.send("b")
        eventually(lambda: all(data_of(sse, run.stream_id) == ["ab"] for run in runs), "storing all")
        assert max(len(call) for call in broker.calls) > 1


def test_a_run_that_cannot_be_written_to_holds_up_no_other() -> None:
    retry = FixedDelay(0.02, retries=10_000)
    with Counting() as broker, StreamManager(broker=broker, retry=retry) as sse, ExitStack() as open_runs:
        held_up, *others = [open_runs.enter_context(sse.run(f"chat:{n}", coalesce=0.02)) for n in range(10)]
        broker.out_of_reach, broker.faults = {held_up.stream_id}, 10**6
        for text in ("a", "b", "c"):
            held_up.send(text)
            for run in others:
                run.send(text)
        names = [run.stream_id for run in others]
        eventually(lambda: {"".join(data_of(sse, name)) for name in names} == {"abc"}, "storing the others'")
        assert data_of(sse, held_up.stream_id) == []
        broker.faults = 0
        eventually(lambda: "".join(data_of(sse, held_up.stream_id)) == "abc", "storing it later")


def test_another_name_or_what_is_no_text_comes_after_what_waits(sse: StreamManager) -> None:
    with sse.run("chat:1", event_name="token", coalesce=LONG) as run:
        run.send("a")
        run.send("b")
        run.send("think", "thought")
        eventually(lambda: data_of(sse, "chat:1") == ["ab", "think"], "publishing what waits before it")
        run.send("c")
        run.send({"call": 1}, "tool")
        run.send(Event("own", "named"))
        eventually(lambda: len(entries_of(sse, "chat:1")) == 5, "publishing what waits before another name")
        run.send("d")
    assert entries_of(sse, "chat:1") == [
        ("token", "ab"),
        ("thought", "think"),
        ("token", "c"),
        ("tool", '{"call": 1}'),
        ("named", "own"),
        ("token", "d"),
    ]


def test_what_is_no_text_is_joined_by_a_function(sse: StreamManager) -> None:
    how = Coalesce(LONG, join=lambda pieces: {"rows": pieces}, size=3)
    with sse.run("rows", coalesce=how) as run:
        for number in range(4):
            run.send(number)
    assert data_of(sse, "rows") == ['{"rows": [0, 1, 2, 3]}']


def test_an_entry_that_has_grown_large_goes_out_at_once(sse: StreamManager) -> None:
    with sse.run("chat:1", coalesce=Coalesce(LONG, size=10)) as run:
        run.send("123456")
        run.send("7890")
        eventually(lambda: data_of(sse, "chat:1") == ["1234567890"], "publishing it")


def test_a_join_that_fails_fails_the_run(sse: StreamManager) -> None:
    def fails(pieces: list[object]) -> object:
        raise ValueError("no")

    run = sse.start_run("rows", [1, 2], coalesce=Coalesce(LONG, join=fails))
    assert run.wait(DEADLINE) is RunOutcome.FAILED


def test_what_cannot_be_published_is_refused_when_it_is_sent(sse: StreamManager) -> None:
    with sse.run("chat:1", coalesce=LONG) as run:
        run.send("a")
        for bad in ("\0", "\ud800", b"bytes"):
            with pytest.raises(InvalidEvent):
                run.send(bad)
        run.send("b")
    assert data_of(sse, "chat:1") == ["ab"]


def test_while_the_backend_is_away_the_producer_goes_on_until_so_much_waits() -> None:
    with FaultyBroker() as broker, StreamManager(broker=broker, retry=FixedDelay(0.01, 10_000)) as sse:
        with sse.run("chat:1", coalesce=0.01) as run:
            broker.away.set()
            sent: list[int] = []

            def send() -> None:
                for number in range(100):
                    run.send("x" * 10_000)
                    sent.append(number)

            thread = threading.Thread(target=send)
            thread.start()
            eventually(lambda: len(sent) >= 20, "going on")
            thread.join(0.2)
            waits = thread.is_alive()
            broker.away.clear()
            thread.join(DEADLINE)
        assert waits, "what waits has a bound"
        assert sum(map(len, data_of(sse, "chat:1"))) == 1_000_000


def test_who_waits_for_room_is_told_that_the_stream_has_ended() -> None:
    class Ending(MemoryBroker):
        gate = threading.Event()

        def append(self, stream_id, events, *, idempotency_key=None):  # type: ignore[no-untyped-def]
            if stream_id == "chat:1" and events[0].name is None:
                self.gate.wait(DEADLINE)
            return super().append(stream_id, events, idempotency_key=idempotency_key)

    with Ending() as broker, StreamManager(broker=broker) as sse:
        run = sse.run("chat:1", coalesce=0.001)
        sse.end_stream("chat:1")
        timer = threading.Timer(0.1, broker.gate.set)
        timer.start()
        with pytest.raises(RunStopped):
            send_for_ever(run)
        timer.join()


def send_for_ever(run: Run) -> None:
    while True:
        run.send("x" * 10_000)


class Interrupting(MemoryBroker):
    """Is interrupted in an append to the run's stream, once, when it has been told to."""

    interrupted = True

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        if not self.interrupted and stream_id == "job:7":
            self.interrupted = True
            raise KeyboardInterrupt
        return super().append(stream_id, events, idempotency_key=idempotency_key)


def test_a_run_whose_thread_is_interrupted_while_it_writes_has_an_end() -> None:
    with Interrupting() as broker, StreamManager(broker=broker) as sse:
        run = sse.run("job:7")
        with suppress(KeyboardInterrupt), run:
            broker.interrupted = False
            run.send("a")
        assert broker.interrupted
        assert run.outcome is RunOutcome.LOST


class SlowBroker(MemoryBroker):
    """Takes a while for each append."""

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        time.sleep(0.02)
        return super().append(stream_id, events, idempotency_key=idempotency_key)


def test_progress_is_told_though_somebody_writes_all_the_time() -> None:
    with SlowBroker() as broker, StreamManager(broker=broker) as sse, sse.run("job:7") as run:
        over = threading.Event()

        def send() -> None:
            while not over.is_set():
                run.send("row")

        sending = threading.Thread(target=send)
        sending.start()
        try:
            for done in range(3):
                run.progress(done, 3)
            eventually(
                lambda: '{"done": 2, "note": null, "total": 3}' in data_of(sse, "job:7"), "telling the newest"
            )
        finally:
            over.set()
            sending.join()


class TestProgress:
    """`run.progress`."""

    def test_the_first_and_the_last_are_told_and_four_a_second_between(self, sse: StreamManager) -> None:
        began = time.monotonic()
        with sse.run("job:7") as run:
            for number in range(100):
                run.progress(number + 1, total=100)
                time.sleep(0.005)
        seconds = time.monotonic() - began
        told = [entry.event for entry in sse.history("job:7").entries]
        assert {event.name for event in told} == {"progress"}
        assert told[0].data == '{"done": 1, "note": null, "total": 100}'
        assert told[-1].data == '{"done": 100, "note": null, "total": 100}'
        assert len(told) <= 2 + seconds / progresses.EVERY

    def test_the_newest_is_told_by_itself_when_its_time_has_come(self, sse: StreamManager) -> None:
        with sse.run("job:7") as run:
            for number in (1, 2, 3):
                run.progress(number, note="rows")
            eventually(lambda: len(data_of(sse, "job:7")) == 2, "telling the newest")
            assert data_of(sse, "job:7")[1] == '{"done": 3, "note": "rows", "total": null}'

    @pytest.mark.parametrize(
        ("done", "total", "told"), [(0, 0, (0, None)), (5, 4, (5, 5)), (5, 0, (5, None)), (1.5, 3, (1.5, 3))]
    )
    def test_what_can_not_be_is_mended_with_one_warning(
        self,
        sse: StreamManager,
        caplog: pytest.LogCaptureFixture,
        done: float,
        total: float,
        told: tuple[float, float | None],
    ) -> None:
        found, mended = progresses.progress_of("job:7", done, total, None)
        assert found[:2] == told
        with sse.run("job:7") as run:
            run.progress(done, total=total)
            run.progress(done, total=total)
        warned = [record for record in caplog.records if "can't be" in record.message]
        assert len(warned) == mended

    @pytest.mark.parametrize("done", ["1", None, -1, float("nan"), float("inf"), True])
    def test_what_is_no_number_is_refused(self, sse: StreamManager, done: object) -> None:
        with sse.run("job:7") as run, pytest.raises(InvalidEvent, match="done of progress is a number"):
            run.progress(done)  # type: ignore[arg-type]


@pytest.mark.parametrize("most", [1, 3, 100])
def test_what_is_due_is_flushed_once_each_and_in_time(most: int) -> None:
    called: list[tuple[int, float]] = []

    def call(due: list[tuple[int, float]]) -> None:
        called.extend((number, time.monotonic() - at) for number, at in due)

    flusher = Flusher(call, most=most)
    began = time.monotonic()
    for number in range(50):
        due = began + (number % 5) / 50
        flusher.flush_at(due, (number, due))
    eventually(lambda: len(called) == 50, "calling all")
    assert sorted(number for number, _ in called) == list(range(50))
    assert min(late for _, late in called) > -0.01
    flusher.close()


def test_what_becomes_due_after_a_flush_does_not_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flushing, "_LONG", DEADLINE)
    flushed: list[int] = []

    def flush(due: list[int]) -> None:
        time.sleep(0.03)  # as a backend takes, while another thread begins to wait for what is due next
        flushed.extend(due)

    flusher = Flusher(flush, most=100)
    now = time.monotonic()
    flusher.flush_at(now + 0.05, 1)
    flusher.flush_at(now + 0.15, 2)
    eventually(lambda: flushed == [1, 2], "flushing both", within=DEADLINE / 2)
    flusher.close()


def test_a_flush_that_takes_long_makes_others_wait_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flushing, "_LONG", 0.2)
    stuck = threading.Event()
    flushed: list[int] = []

    def flush(due: list[int]) -> None:
        if 0 in due:
            stuck.wait(DEADLINE)
        flushed.extend(due)

    flusher = Flusher(flush, most=2)
    for number in range(100):
        flusher.flush_at(0, number)
    try:
        eventually(lambda: len(flushed) >= 98, "flushing all others", within=DEADLINE / 2)
    finally:
        stuck.set()
        flusher.close()


def test_a_function_that_joins_pieces_and_ends_its_thread_fails_its_own_run_only(sse: StreamManager) -> None:
    ends = Coalesce(0.02, join=lambda pieces: sys.exit())
    other, own = sse.run("chat:1", coalesce=0.02), sse.run("rows", coalesce=ends)

    def fails() -> bool:
        try:
            other.send("a")
            own.send({"n": 1})
        except PublishFailed:
            return True
        return False

    with other:
        with suppress(PublishFailed), own:
            eventually(fails, "telling the run that it has failed")
            own.send({"n": 2})
        other.send("b")
        eventually(lambda: data_of(sse, "chat:1")[-1].endswith("b"), "storing what the other yields")
    assert (own.outcome, other.outcome) == (RunOutcome.FAILED, RunOutcome.DONE)


@settings(max_examples=40, deadline=None)
@given(
    tokens=lines,
    coalesce=st.sampled_from([None, 0.002, 0.01]),
    cuts=st.lists(st.integers(1, 3_000), max_size=6),
    late=st.booleans(),
)
def test_the_text_is_what_was_yielded_for_clients_that_are_cut_off_and_for_those_that_come_late(
    tokens: list[str], coalesce: float | None, cuts: list[int], late: bool
) -> None:
    app = Flask(__name__)
    with StreamManager(app, reconnect_delay=0.001) as sse:
        app.add_url_rule("/chat", view_func=lambda: sse.get_stream("chat:1", after=OLDEST))
        with app.app_context():
            run = sse.start_run("chat:1", slowly(tokens), coalesce=coalesce)
            if late:
                run.wait(DEADLINE)
        assert text_of(app, cuts) == "".join(tokens)


def slowly(tokens: list[str]) -> Iterator[str]:
    for number, token in enumerate(tokens):
        if number % 7 == 3:
            time.sleep(0.001)
        yield token


def text_of(app: Flask, cuts: list[int]) -> str:
    """What a client reads that is cut off after so many bytes each time, and goes on after its last id."""
    text, last = "", ""
    for cut in [*cuts, 10**9]:
        response: Response = app.test_client().get("/chat", headers={"Last-Event-ID": last} if last else {})
        if response.status_code == 204:
            break
        reader, left = FrameReader(), cut
        for chunk in response.iter_encoded():
            for frame in reader.feed(chunk[:left]):
                last = frame.id or last
                if frame.name == "message" and frame.data is not None:
                    text += frame.data
                if frame.name == "streamy.end":
                    response.close()
                    return text
            left -= len(chunk)
            if left <= 0:
                break
        response.close()
    return text
