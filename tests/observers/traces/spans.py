"""An app that is traced, by Flask's own instrumentation and by Streamy, into memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.trace import SpanContext, SpanKind, Tracer

from streamy_core import StreamManager
from streamy_core.testing.reading import eventually


class Spans:
    """What was traced so far. provider: to be given as `STREAMY_TRACES`."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider: TracerProvider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def tracer(self) -> Tracer:
        """The app's own."""
        return self.provider.get_tracer("the app")

    def of(self, name: str) -> list[ReadableSpan]:
        """Those of this name that have ended."""
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def all(self) -> Sequence[ReadableSpan]:
        """All that have ended."""
        return self._exporter.get_finished_spans()

    def wait_for(self, name: str, count: int = 1) -> list[ReadableSpan]:
        """Those of this name, once there are so many."""
        eventually(
            lambda: len(self.of(name)) == count, f"{count} spans named {name!r} (there are {self.names})"
        )
        return self.of(name)

    def one(self, name: str) -> ReadableSpan:
        """The only one of this name, once it is there."""
        (span,) = self.wait_for(name)
        return span

    @property
    def names(self) -> list[str]:
        """All names, in order."""
        return sorted(span.name for span in self.all())


class Held(SpanExporter):
    """An exporter that takes its time. Called on whichever thread ends a span."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.exporting = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if any(span.kind is SpanKind.CONSUMER for span in spans):
            self.exporting.set()
            self.may_go_on.wait(10)
        return SpanExportResult.SUCCESS


def instrument(stage_or_app: Any, provider: TracerProvider) -> None:
    """As `opentelemetry-instrument` does it for an app."""
    FlaskInstrumentor().instrument_app(getattr(stage_or_app, "app", stage_or_app), tracer_provider=provider)


def context_of(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


def meta_of(sse: StreamManager, stream_id: str) -> list[Mapping[str, str] | None]:
    """What is kept with the newest entries."""
    return [entry.event.meta for entry in sse.history(stream_id).entries]


def assert_leads(published: ReadableSpan, delivered: ReadableSpan) -> None:
    """The delivery is of the same trace, as a child of what published it, and links to that."""
    origin = context_of(published)
    assert context_of(delivered).trace_id == origin.trace_id, "publishing and delivering are two traces"
    assert delivered.parent is not None
    assert delivered.parent.span_id == origin.span_id, "the delivery isn't a child of what published it"
    assert [link.context.span_id for link in delivered.links] == [origin.span_id], "it has no link to it"
