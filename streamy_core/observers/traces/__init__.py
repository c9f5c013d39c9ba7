"""Traces: a span for what is published, and one for its first delivery in each process, in one trace.

`STREAMY_TRACES` says who makes spans: "opentelemetry", or an object. The `traceparent` of the publishing
span is kept with the entry, in `Event.meta`, and sent to no client.
"""

from .tracer import PublishingSpan, Tracer, open_tracer

__all__ = ["PublishingSpan", "Tracer", "open_tracer"]
