"""The client for tests reads what browsers would, from an app without a server."""

from __future__ import annotations

import threading

import pytest
from flask import Flask, Response, abort, request

from streamy_core import StreamManager
from streamy_core.testing import EventClient, FaultyBroker


@pytest.fixture
def app(streamy_broker: FaultyBroker) -> Flask:
    app = Flask(__name__)
    app.config["STREAMY_BROKER_URL"] = streamy_broker
    sse = StreamManager(app)

    @app.get("/events")
    def events() -> Response:
        if request.args.get("room") == "closed":
            abort(403)
        return sse.get_stream("news")

    @app.get("/plain")
    def plain() -> str:
        return "no stream"

    return app


@pytest.fixture
def sse(app: Flask) -> StreamManager:
    sender = app.extensions["streamy"]["default"]
    assert isinstance(sender, StreamManager)
    return sender


def test_what_is_published_after_connecting_is_read(sse: StreamManager, streamy_client: EventClient) -> None:
    with streamy_client.open("/events") as stream:
        sse.send_event("news", "a")
        sse.send_event("news", {"b": 1}, "named")
        first, second = stream.events(2)
    assert (first.type, first.data) == ("message", "a")
    assert (second.type, second.data) == ("named", '{"b": 1}')


def test_a_stream_is_read_by_its_name_from_its_oldest_entry(
    sse: StreamManager, streamy_client: EventClient
) -> None:
    for data in ("a", "b", "c"):
        sse.send_event("news", data)
    assert [event.data for event in streamy_client.events("news", n=2)] == ["a", "b"]


def test_a_client_that_comes_back_goes_on(sse: StreamManager, streamy_client: EventClient) -> None:
    with streamy_client.open("/events") as stream:
        sse.send_event("news", "a")
        stream.events(1)
    sse.send_event("news", "b")
    with streamy_client.open("/events", last_event_id=stream.last_event_id) as again:
        assert [event.data for event in again.events(1)] == ["b"]


def test_too_few_events_fail_and_say_what_came(sse: StreamManager, streamy_client: EventClient) -> None:
    sse.send_event("news", "only this")
    with pytest.raises(pytest.fail.Exception, match=r"news gave 1 of 2 events, within 0 s: .*only this"):
        streamy_client.events("news", n=2, timeout=0.1)


def test_the_end_is_the_end_and_then_204(sse: StreamManager, streamy_client: EventClient) -> None:
    with streamy_client.open("/events") as stream:
        sse.send_event("news", "last")
        sse.end_stream("news")
        assert [event.type for event in stream.read_to_end()] == ["message", "streamy.end"]
    assert streamy_client.open("/events", last_event_id=stream.last_event_id).status == 204


def test_a_view_that_refuses_is_told(streamy_client: EventClient) -> None:
    with pytest.raises(AssertionError, match=r"/events\?room=closed is no event stream, but 403"):
        streamy_client.open("/events?room=closed")


def test_what_is_no_event_stream_is_told(streamy_client: EventClient) -> None:
    with pytest.raises(AssertionError, match="no stream"):
        streamy_client.open("/plain")


def test_leaving_ends_the_thread_that_reads(streamy_client: EventClient) -> None:
    for _ in range(5):
        streamy_client.open("/events").close()
    for thread in threading.enumerate():
        if thread.name == "streamy-event-client":
            thread.join(10)
            assert not thread.is_alive()
