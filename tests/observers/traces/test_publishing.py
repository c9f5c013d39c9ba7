"""Every way to publish has its span, with what came of it, and what is kept leads back to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags, TraceState, use_span
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from streamy_backends.memory import MemoryBroker
from streamy_core import Entry, Event, PublishFailed, StreamEnded, StreamManager
from streamy_core.engine.traces import Traces, hand_over
from streamy_core.observers.traces.opentelemetry import OpenTelemetryTracer
from streamy_core.strategies import FixedDelay, NoRetry

from ...engine.doubles import FaultyBroker
from ...support.forks import forks, told_by_child
from .spans import Held, Spans, context_of, meta_of

NewManager = Callable[..., StreamManager]


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def new_manager(spans: Spans) -> Iterator[NewManager]:
    with ExitStack() as to_close:

        def make(**settings: Any) -> StreamManager:
            return to_close.enter_context(StreamManager(**{"traces": spans.provider, **settings}))

        yield make


@pytest.fixture
def sse(new_manager: NewManager) -> StreamManager:
    return new_manager()


def span_of(meta: Any) -> tuple[str, str]:
    """Trace and span that the meta of an entry leads to."""
    _, trace, span, flags = meta["traceparent"].split("-")
    assert int(flags, 16) & 1, "it says that it is sampled"
    return trace, span


def ids_of(span: ReadableSpan) -> tuple[str, str]:
    return f"{context_of(span).trace_id:032x}", f"{context_of(span).span_id:016x}"


def failure_of(span: ReadableSpan) -> tuple[StatusCode, str | None]:
    return span.status.status_code, (span.attributes or {}).get("error.type")  # type: ignore[return-value]


def test_events_that_are_sent_together_have_one_span(sse: StreamManager, spans: Spans) -> None:
    sse.send_events("news:1", ["a", Event("b", meta={"own": "1"})])
    span = spans.one("publish news")
    assert (span.attributes or {})["messaging.batch.message_count"] == 2
    first, second = meta_of(sse, "news:1")
    assert {span_of(first), span_of(second)} == {ids_of(span)}
    assert second is not None
    assert second["own"] == "1"


def test_a_broadcast_has_one_span_and_names_the_group_that_all_have(sse: StreamManager, spans: Spans) -> None:
    names = [f"news:{n}" for n in range(5)]
    sse.broadcast(names, "a", meta={"own": "1"})
    sse.broadcast(["news:1", "chat:1"], "b")
    of_one_group = spans.one("publish news")
    assert (of_one_group.attributes or {})["messaging.batch.message_count"] == 5
    assert [span_of(meta_of(sse, name)[0]) for name in names] == [ids_of(of_one_group)] * 5
    assert "messaging.destination.name" not in (spans.one("publish").attributes or {})


def test_what_is_sent_soon_is_of_the_trace_of_who_sent_it(spans: Spans, new_manager: NewManager) -> None:
    sse = new_manager()
    for text in "ab":
        with spans.tracer.start_as_current_span(f"request {text}"):
            sse.send_soon("news:1", text, meta={"own": text})
    published = spans.wait_for("publish news", 2)
    requests = [spans.one(f"request {text}") for text in "ab"]
    for span, request, meta in zip(published, requests, meta_of(sse, "news:1"), strict=True):
        assert span.parent == context_of(request)
        assert span_of(meta) == ids_of(span)
        assert span.status.status_code is StatusCode.UNSET


def test_what_is_sent_soon_and_lost_has_a_span_that_says_so(new_manager: NewManager, spans: Spans) -> None:
    broker = FaultyBroker()
    sse = new_manager(
        broker=broker,
        outbox_events=1,
        outbox_retry_policy=FixedDelay(30, retries=1_000),
        outbox_flush_timeout=0.1,
    )
    broker.away.set()
    sse.send_soon("news:1", "waits")
    sse.send_soon("chat:1", "finds no room")
    assert failure_of(spans.one("publish chat")) == (StatusCode.ERROR, "full")
    sse.close()
    assert failure_of(spans.one("publish news")) == (StatusCode.ERROR, "closed")


def test_what_is_sent_soon_and_refused_has_a_span_that_says_so(new_manager: NewManager, spans: Spans) -> None:
    sse = new_manager()
    sse.end_stream("news:1")
    sse.send_soon("news:1", "late")
    assert failure_of(spans.one("publish news")) == (StatusCode.ERROR, "StreamEnded")


def test_an_outage_that_outlasts_the_retries_is_the_spans_error(
    new_manager: NewManager, spans: Spans
) -> None:
    broker = FaultyBroker()
    sse = new_manager(broker=broker, retry=FixedDelay(0.01, retries=2))
    broker.away.set()
    with pytest.raises(PublishFailed):
        sse.send_event("news:1", "a")
    span = spans.one("publish news")
    assert failure_of(span) == (StatusCode.ERROR, "PublishFailed")
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time >= 20_000_000, "the span has all attempts in it"


def test_an_outage_that_passes_leaves_one_entry_and_no_error(new_manager: NewManager, spans: Spans) -> None:
    broker = FaultyBroker()
    sse = new_manager(broker=broker, retry=FixedDelay(0.01, retries=1_000))

    class ComesBack(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            broker.away.clear()

    broker.away.set()
    spans.provider.add_span_processor(ComesBack())
    sse.send_event("news:1", "a")
    assert failure_of(spans.one("publish news")) == (StatusCode.UNSET, None)
    assert len(meta_of(sse, "news:1")) == 1


@pytest.mark.parametrize("verb", ["send_event", "send_events", "broadcast"])
def test_a_stream_that_has_ended_is_the_spans_error(sse: StreamManager, spans: Spans, verb: str) -> None:
    sse.end_stream("news:1")
    if verb == "broadcast":
        assert sse.broadcast(["news:1"], "late") == {}
        assert failure_of(spans.one("publish news")) == (StatusCode.UNSET, None), "a broadcast leaves it out"
        return
    with pytest.raises(StreamEnded):
        getattr(sse, verb)("news:1", "a" if verb == "send_event" else ["a"])
    assert failure_of(spans.one("publish news")) == (StatusCode.ERROR, "StreamEnded")


def test_what_is_published_in_a_transaction_leads_back_to_its_span(
    new_manager: NewManager, spans: Spans, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'app.db'}"
    sse = new_manager(broker=url)
    engine = create_engine(url)
    with Session(engine) as session, spans.tracer.start_as_current_span("request"):
        sse.send_event("news:1", "a", session=session)
        assert meta_of(sse, "news:1") == []
        session.commit()
    engine.dispose()
    span = spans.one("publish news")
    assert span.parent == context_of(spans.one("request"))
    assert [span_of(meta) for meta in meta_of(sse, "news:1")] == [ids_of(span)]


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, TraceIdRatioBased(0)])
def test_what_is_not_sampled_is_neither_kept_nor_exported(new_manager: NewManager, sampler: Any) -> None:
    spans = Spans(sampler)
    sse = new_manager(traces=spans.provider)
    sse.send_event("news:1", "a")
    sse.send_soon("news:1", "b")
    sse.binding.engine.outbox.flush(5)
    assert meta_of(sse, "news:1") == [None, None]
    assert spans.names == []


def test_without_an_sdk_nothing_is_kept(new_manager: NewManager) -> None:
    sse = new_manager(traces="opentelemetry")
    sse.send_event("news:1", "a")
    assert meta_of(sse, "news:1") == [None]


def test_orders_of_streamys_own_have_no_span(sse: StreamManager, spans: Spans) -> None:
    sse.disconnect(key="user")
    assert spans.names == []


def test_what_is_done_to_publish_is_part_of_its_span(new_manager: NewManager, spans: Spans) -> None:
    class Traced(MemoryBroker):
        def append(self, *args: Any, **more: Any) -> list[str]:
            with spans.tracer.start_as_current_span("INSERT"):
                return super().append(*args, **more)

    new_manager(broker=Traced()).send_event("news:1", "a")
    assert spans.one("INSERT").parent == context_of(spans.one("publish news"))


def test_a_broker_that_keeps_no_meta_is_given_none_and_publishing_is_traced_all_the_same(
    new_manager: NewManager, spans: Spans
) -> None:
    given: list[Event] = []

    class Forgetful(MemoryBroker):
        def append(self, stream_id: str, events: Any, **more: Any) -> list[str]:
            given.extend(events)
            return super().append(stream_id, events, **more)

        def __getattribute__(self, name: str) -> Any:
            if name == "keeps_meta":
                raise AttributeError(name)
            return super().__getattribute__(name)

    sse = new_manager(broker=Forgetful())
    sse.send_event("news:1", "a", meta={"own": "1"})
    spans.one("publish news")
    assert given == [Event("a")]


@pytest.mark.parametrize("room", [0, 30, 60, 1_000])
def test_an_apps_own_meta_has_the_room_first(sse: StreamManager, room: int) -> None:
    own = {"own": "x" * (1_021 - room)}
    sse.send_event("news:1", "a", meta=own)
    (kept,) = meta_of(sse, "news:1")
    assert kept is not None
    assert kept["own"] == own["own"]
    assert ("traceparent" in kept) == (room > 65)


@pytest.mark.parametrize(
    ("own", "kept"),
    [
        ({}, {"traceparent", "tracestate"}),
        ({"own": "x" * 900}, {"own", "traceparent"}),
        ({"traceparent": "theirs"}, {"traceparent"}),
        ({"tracestate": "theirs=1"}, {"traceparent", "tracestate"}),
        ({"own": "x" * 1_000}, {"own"}),
    ],
    ids=["room for all", "room for one", "another's", "another's state", "no room"],
)
def test_what_a_trace_says_of_itself_is_kept_as_far_as_there_is_room(
    sse: StreamManager, own: dict[str, str], kept: set[str]
) -> None:
    state = TraceState([("vendor", "x" * 100)])
    theirs = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=state)
    with use_span(NonRecordingSpan(theirs)):
        sse.send_event("news:1", "a", meta=own)
    (meta,) = meta_of(sse, "news:1")
    assert meta is not None
    assert set(meta) == kept
    assert own.items() <= meta.items()
    assert meta.get("tracestate") in (None, own.get("tracestate", f"vendor={'x' * 100}"))


@pytest.mark.parametrize("method", ["start_span", "end", "on_start"])
def test_a_tracer_that_fails_harms_nobody_and_is_logged_once(
    new_manager: NewManager, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    class Fails(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            if method == "on_start":
                raise RuntimeError("planted")

        def on_end(self, span: ReadableSpan) -> None:
            if method == "end":
                raise RuntimeError("planted")

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Fails())
    tracer: Any = OpenTelemetryTracer(provider)
    if method == "start_span":
        tracer = Broken()
    sse = new_manager(traces=tracer, retry=NoRetry())
    for _ in range(2):
        sse.send_event("news:1", "a")
        sse.send_soon("news:1", "b")
        sse.broadcast(["news:1", "news:2"], "c")
    sse.binding.engine.outbox.flush(5)
    assert len(meta_of(sse, "news:1")) == 6
    assert len([record for record in caplog.records if "STREAMY_TRACES" in record.message]) == 1


class Broken:
    """A tracer of an app's own."""

    def publishing(self, group: str | None, count: int) -> Any:
        raise RuntimeError("planted")

    def delivered(self, *what: Any) -> None:
        raise RuntimeError("planted")


def test_deliveries_that_come_faster_than_spans_can_be_made_are_counted(
    spans: Spans, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("streamy_core.engine.traces._MOST_WAITING", 2)
    held = Held()
    spans.provider.add_span_processor(SimpleSpanProcessor(held))
    traces = Traces(OpenTelemetryTracer(spans.provider), kept=True)
    (event,) = traces.publishing(["news:1"], 1).marked([Event("a")])

    def deliver(number: int) -> None:
        hand_over(
            [handover] if (handover := traces.handover(Entry(f"e.{number}.n", "news:1", event))) else []
        )

    deliver(1)
    assert held.exporting.wait(10)
    for number in range(2, 8):
        deliver(number)
    held.may_go_on.set()
    traces.close()
    assert len(spans.of("deliver news")) == 3
    assert [record.args for record in caplog.records] == [(4,)]


@forks
def test_a_forked_process_traces_its_own_deliveries(spans: Spans) -> None:
    traces = Traces(OpenTelemetryTracer(spans.provider), kept=True)
    (event,) = traces.publishing(["news:1"], 1).marked([Event("a")])
    entry = Entry("e.1.n", "news:1", event)
    hand_over([handover] if (handover := traces.handover(entry)) else [])
    spans.one("deliver news")

    def deliver() -> str:
        hand_over([handover] if (handover := traces.handover(entry)) else [])
        traces.close()
        return str(len(spans.of("deliver news")))

    assert told_by_child(deliver) == "2"
    traces.close()
