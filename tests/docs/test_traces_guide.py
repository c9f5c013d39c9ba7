"""The guide to traces: its example's requests, events and deliveries are one trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from streamy_core.testing.reading import eventually

if TYPE_CHECKING:
    from .conftest import Connect, Load


def test_the_traced_app_has_one_trace_from_the_request_to_the_client(load: Load, connect: Connect) -> None:
    example: Any = load("traced")
    exporter = InMemorySpanExporter()
    example.provider.add_span_processor(SimpleSpanProcessor(exporter))

    def spans() -> dict[str, ReadableSpan]:
        return {span.name: span for span in exporter.get_finished_spans()}

    reader = connect(example.app, "/orders/7/events")
    example.app.test_client().post("/orders/7/paid", data={"by": "ann"})
    (paid,) = reader.events(1)
    assert paid.data == '{"state": "paid"}'
    names = ["deliver order", "publish order", "POST /orders/<number>/paid"]
    eventually(lambda: sorted(spans()) == sorted(names), f"the spans are {names}")
    delivered, published, request = [spans()[name] for name in names]
    for child, parent in ((delivered, published), (published, request)):
        assert child.parent.span_id == parent.get_span_context().span_id
        assert child.parent.trace_id == parent.get_span_context().trace_id
    (entry,) = example.sse.history("order:7").entries
    assert entry.event.meta.keys() == {"by", "traceparent"}

    example.app.test_client().post("/orders/7/shipped")
    (shipped,) = reader.events(1)
    assert f"{spans()['POST /orders/<number>/shipped'].get_span_context().trace_id:032x}" in shipped.data
