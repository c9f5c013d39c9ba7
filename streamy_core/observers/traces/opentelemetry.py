"""Spans by OpenTelemetry's API, for whichever SDK the app has set up.

By its conventions for messaging: https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/.
A link from a delivery to what published it is what they ask for. That it is its child as well, which they
allow, makes one trace of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    TracerProvider,
    get_current_span,
    get_tracer_provider,
    set_span_in_context,
    use_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from .tracer import PublishingSpan

__all__ = ["OpenTelemetryTracer"]

_TRACER: Final = "streamy"

_W3C: Final = TraceContextTextMapPropagator()
"""What is kept is read by other releases, which may be set up otherwise: so the app's own isn't asked."""


class OpenTelemetryTracer:
    """A `Tracer`.

    provider: of tracers; the global one unless given, also where that is set up later.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        provider = get_tracer_provider() if provider is None else provider
        self._tracer = provider.get_tracer(_TRACER)

    def publishing(self, group: str | None, count: int) -> PublishingSpan:
        """See `Tracer`."""
        attributes = _attributes("publish", "send", group)
        if count != 1:
            attributes["messaging.batch.message_count"] = count
        span = self._tracer.start_span(
            _named("publish", group),
            kind=SpanKind.PRODUCER,
            attributes=attributes,
            record_exception=False,  # its text may name a stream
            set_status_on_exception=False,
        )
        return _PublishingSpan(span)

    def delivered(
        self, meta: Mapping[str, str], group: str | None, entry_id: str, began: int, ended: int
    ) -> None:
        """See `Tracer`."""
        context = _W3C.extract(meta, Context())
        publishing = get_current_span(context).get_span_context()
        if not publishing.is_valid:
            return
        attributes = _attributes("deliver", "process", group)
        attributes["messaging.message.id"] = entry_id
        span = self._tracer.start_span(
            _named("deliver", group),
            context,
            SpanKind.CONSUMER,
            attributes,
            links=[Link(publishing)],
            start_time=began,
        )
        span.end(ended)


class _PublishingSpan:
    def __init__(self, span: Span) -> None:
        self._span = span
        self.meta: Mapping[str, str] = _meta_of(span)

    def as_current(self) -> AbstractContextManager[object]:
        return use_span(self._span, record_exception=False, set_status_on_exception=False)

    def stored(self, entry_id: str) -> None:
        self._span.set_attribute("messaging.message.id", entry_id)

    def end(self, failure: str | None = None) -> None:
        if failure is not None:
            self._span.set_attribute("error.type", failure)
            self._span.set_status(Status(StatusCode.ERROR, failure))
        self._span.end()


def _meta_of(span: Span) -> Mapping[str, str]:
    carrier: dict[str, str] = {}
    if span.is_recording() and span.get_span_context().trace_flags.sampled:
        _W3C.inject(carrier, set_span_in_context(span, Context()))
    return carrier


def _attributes(operation: str, kind: str, group: str | None) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {
        "messaging.system": "streamy",
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
    }
    if group is not None:
        found["messaging.destination.name"] = group
    return found


def _named(operation: str, group: str | None) -> str:
    return operation if group is None else f"{operation} {group}"
