"""A request, what it publishes and what is delivered of that are one trace, whatever lies between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from streamy_core.observers import ClientInfo, Observer
from streamy_core.testing.reading import eventually

from ...backends.redis.servers import HOW_TO_GET, Server, binary
from ...support.raw_client import RawClient
from ...support.requirements import go_without
from ..metrics.stage import Stage
from .spans import Held, Spans, assert_leads, context_of, instrument, meta_of

NewStage = Callable[..., Stage]


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture(params=["detached", "wsgi"])
def new_stage(request: pytest.FixtureRequest, spans: Spans) -> Iterator[NewStage]:
    with ExitStack() as to_close:

        def make(**settings: Any) -> Stage:
            given = {"metrics": None, "traces": spans.provider, **settings}
            stage = to_close.enter_context(Stage(request.param, **given))
            instrument(stage, spans.provider)
            return stage

        yield make


@pytest.fixture
def stage(new_stage: NewStage) -> Stage:
    return new_stage()


class Hears(Observer):
    """By which deliveries clients were served."""

    def __init__(self) -> None:
        self.deliveries: set[str] = set()

    def connected(self, client: ClientInfo, delivery: str) -> None:
        self.deliveries.add(delivery)


def post(stage: Stage, stream_id: str = "news:1", text: str = "a") -> None:
    assert stage.app.test_client().post(f"/send/{stream_id}", data=text).status_code == 200


@pytest.fixture(params=["memory", "sqlite", pytest.param("redis", marks=pytest.mark.slow)])
def broker_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "memory":
        yield "memory://"
    elif request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'streams.db'}"
    else:
        program = binary("redis") or go_without(f"redis-server is missing: {HOW_TO_GET}")
        server = Server(program, tmp_path).start()
        yield server.url
        server.stop()


def test_a_request_what_it_publishes_and_its_delivery_are_one_trace(
    new_stage: NewStage, spans: Spans, broker_url: str
) -> None:
    hears = Hears()
    stage = new_stage(broker_url=broker_url, observers=[hears])
    with stage.read("news:1") as client:
        post(stage)
        client.read(1)
        delivered = spans.one("deliver news")
    assert hears.deliveries == {stage.delivery}
    published, request = spans.one("publish news"), spans.one("POST /send/<path:name>")
    assert (request.kind, published.kind, delivered.kind) == (
        SpanKind.SERVER,
        SpanKind.PRODUCER,
        SpanKind.CONSUMER,
    )
    assert published.parent is not None
    assert published.parent.span_id == context_of(request).span_id
    assert context_of(published).trace_id == context_of(request).trace_id
    assert_leads(published, delivered)
    assert request.start_time is not None
    assert delivered.start_time is not None
    assert delivered.end_time is not None
    assert request.start_time <= delivered.start_time <= delivered.end_time


def test_spans_are_named_by_the_conventions_for_messaging(stage: Stage, spans: Spans) -> None:
    with stage.read("news:1") as client:
        entry_id = stage.sse.send_event("news:1", "a")
        client.read(1)
        common = {
            "messaging.system": "streamy",
            "messaging.destination.name": "news",
            "messaging.message.id": entry_id,
        }
        assert spans.one("publish news").attributes == {
            **common,
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
        }
        assert spans.one("deliver news").attributes == {
            **common,
            "messaging.operation.name": "deliver",
            "messaging.operation.type": "process",
        }


def test_an_entry_that_lay_back_is_traced_when_it_is_delivered(stage: Stage, spans: Spans) -> None:
    post(stage)
    assert spans.of("deliver news") == []
    with stage.read("news:1", path="/from-the-start") as client:
        client.read(1)
        assert_leads(spans.one("publish news"), spans.one("deliver news"))


def test_what_has_expired_when_a_client_comes_is_not_delivered(stage: Stage, spans: Spans) -> None:
    stage.sse.send_event("news:1", "a", expires=0)
    stage.sse.send_event("news:1", "b")
    with stage.read("news:1", path="/from-the-start") as client:
        client.read(1)
        assert_leads(spans.of("publish news")[1], spans.one("deliver news"))


def test_a_connection_to_several_streams_is_traced_too(stage: Stage, spans: Spans) -> None:
    with stage.read("news:1", "chat:1") as client:
        for stream_id in ("news:1", "chat:1", "chat:1"):
            post(stage, stream_id)
        client.read(3)
        assert_leads(spans.one("publish news"), spans.one("deliver news"))
        ids = {context_of(span).span_id for span in spans.of("publish chat")}
        delivered = spans.wait_for("deliver chat", 2)
    assert {span.parent.span_id for span in delivered if span.parent} == ids


def test_only_the_first_delivery_in_a_process_is_traced(stage: Stage, spans: Spans) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(stage.read("news:1")) for _ in range(3)]
        clients.append(stack.enter_context(stage.read("news:1", "chat:1")))
        post(stage)
        for client in clients:
            client.read(1)
        with stage.read("news:1", path="/from-the-start") as late:
            late.read(1)
        stage.sse.send_event("last:1", "x")
        with stage.read("last:1", "news:1") as last:
            stage.sse.send_event("last:1", "y")
            last.read(1)
        spans.wait_for("deliver last")  # what came before it has been made by then
    assert len(spans.of("deliver news")) == 1


def test_nothing_of_it_is_on_the_wire(stage: Stage, spans: Spans) -> None:
    stage.sse.send_event("news:1", "lay back", meta={"secret": "words"})
    with RawClient(("127.0.0.1", stage._server.server_port), "/from-the-start") as client:
        sent = client.read_all(until=b"lay back")
        stage.sse.send_event("news:1", "is live", meta={"secret": "words"})
        sent += client.read_all(until=b"is live")
    published = spans.of("publish news")
    for span, kept in zip(published, meta_of(stage.sse, "news:1"), strict=True):
        assert kept is not None
        assert kept["secret"] == "words"
        assert kept["traceparent"].split("-")[1:3] == [
            f"{context_of(span).trace_id:032x}",
            f"{context_of(span).span_id:016x}",
        ]
        for secret in (*kept, *kept.values()):
            assert secret.encode() not in sent


def test_no_span_names_a_stream_a_key_or_what_was_published(new_stage: NewStage, spans: Spans) -> None:
    stage = new_stage(max_retries=0)
    with stage.read("secret", query={"key": "secret"}) as client:
        stage.sse.send_event("secret", "secret", idempotency_key="secret")
        client.read(1)
        spans.one("deliver")
    stage.broker.away.set()
    with pytest.raises(Exception, match="secret"):
        stage.sse.send_event("secret", "secret")
    stage.broker.away.clear()
    stage.sse.end_stream("secret")
    with pytest.raises(Exception, match="secret"):
        stage.sse.send_event("secret", "secret")
    ours = [span for span in spans.all() if not span.name.startswith(("GET", "POST"))]
    assert [span.status.status_code for span in spans.wait_for("publish", 3)].count(StatusCode.ERROR) == 2
    assert "secret" not in "".join(span.to_json() for span in ours)


def test_an_exporter_that_takes_its_time_holds_up_no_client(stage: Stage, spans: Spans) -> None:
    held = Held()
    spans.provider.add_span_processor(SimpleSpanProcessor(held))
    with stage.read("news:1") as client:
        stage.sse.send_event("news:1", "a")
        client.read(1)
        assert held.exporting.wait(10)
        for text in "bcd":
            stage.sse.send_event("news:1", text)
        client.read(3)
        assert len(spans.of("deliver news")) == 1, "the exporter wasn't held"
        held.may_go_on.set()
        spans.wait_for("deliver news", 4)


def test_what_was_delivered_before_a_close_is_traced(stage: Stage, spans: Spans) -> None:
    with stage.read("news:1") as client:
        for text in "abc":
            stage.sse.send_event("news:1", text)
        client.read(3)
        stage.sse.close()
        assert len(spans.of("deliver news")) == 3


def test_an_app_that_is_traced_elsewhere_can_relay_a_trace(stage: Stage, spans: Spans) -> None:
    relayed = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with stage.read("news:1") as client:
        stage.sse.send_event("news:1", "a", meta={"traceparent": relayed})
        client.read(1)
        delivered = spans.one("deliver news")
    assert meta_of(stage.sse, "news:1") == [{"traceparent": relayed}]
    assert f"{context_of(delivered).trace_id:032x}" == relayed.split("-")[1]


@pytest.mark.parametrize("damaged", ["", "00", "x" * 900, "00-" + "0" * 32 + "-b7ad6b7169203331-01"])
def test_a_traceparent_that_is_none_is_no_trace_and_no_harm(stage: Stage, spans: Spans, damaged: str) -> None:
    with stage.read("news:1") as client:
        stage.sse.send_event("news:1", "a", meta={"traceparent": damaged})
        stage.sse.send_event("news:1", "b")
        client.read(2)
        assert_leads(spans.of("publish news")[1], spans.one("deliver news"))


def test_without_the_setting_nothing_is_traced_or_kept(new_stage: NewStage, spans: Spans) -> None:
    stage = new_stage(traces=None)
    with stage.read("news:1") as client:
        post(stage)
        client.read(1)
    assert meta_of(stage.sse, "news:1") == [None]
    eventually(lambda: spans.of("POST /send/<path:name>"), "the request is traced all the same")
    assert not [name for name in spans.names if name.startswith(("publish", "deliver"))]
