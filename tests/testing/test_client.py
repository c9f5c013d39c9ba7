"""The client for tests reads what browsers would, from an app without a server."""

from __future__ import annotations

import threading

import pytest
from flask import Flask, Response, abort, request

from streamy_core import StreamManager
from streamy_core.testing import EventClient, FaultyBroker
from streamy_core.testing.reading import eventually

from ..support.app import manager_of


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
    return manager_of(app)


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
    with pytest.raises(pytest.fail.Exception, match=r"news gave 1 of 2 events, within 0.1 s: .*only this"):
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


def test_coming_back_goes_on_after_the_last_id_that_was_seen(
    sse: StreamManager, streamy_client: EventClient
) -> None:
    stream = streamy_client.open("/events")
    sse.send_event("news", "a")
    stream.wait_for("message")
    streamy_client.reconnect()
    sse.send_event("news", "b")
    assert [event.data for event in stream.events(1)] == ["b"]


def test_what_came_before_a_cut_can_be_read_after_it_and_nothing_comes_twice(
    sse: StreamManager, streamy_client: EventClient
) -> None:
    stream = streamy_client.open("/events")
    sse.send_event("news", "a")
    eventually(lambda: stream.last_event_id == sse.cursor("news"), "the event has come")
    stream.cut()
    sse.send_event("news", "b")
    stream.reconnect()
    assert [event.data for event in stream.events(2)] == ["a", "b"]


def test_nobody_tells_the_app_of_a_cut_until_it_writes(
    sse: StreamManager, streamy_client: EventClient
) -> None:
    streamy_client.open("/events")
    streamy_client.cut()
    assert sse.health.clients == 1
    sse.send_event("news", "lost")
    eventually(lambda: sse.health.clients == 0, "the app finds out")


def test_after_a_cut_nothing_more_comes(sse: StreamManager, streamy_client: EventClient) -> None:
    stream = streamy_client.open("/events")
    stream.cut()
    sse.send_event("news", "lost")
    eventually(lambda: sse.health.clients == 0, "the app finds out")
    assert stream.read_to_end() == []


def test_who_comes_back_after_the_end_gets_204_and_reads_no_more(
    sse: StreamManager, streamy_client: EventClient
) -> None:
    stream = streamy_client.open("/events")
    sse.end_stream("news")
    assert streamy_client.wait_for("end").type == "streamy.end"
    stream.reconnect()
    assert (stream.status, stream.read_to_end()) == (204, [])


def test_waiting_passes_over_what_comes_before(sse: StreamManager, streamy_client: EventClient) -> None:
    stream = streamy_client.open("/events")
    for name in ("one", "two", "three"):
        sse.send_event("news", name, name)
    assert stream.wait_for("two").data == "two"
    assert [event.data for event in stream.events(1)] == ["three"]


def test_a_gap_is_waited_for_by_its_short_name(streamy_client: EventClient) -> None:
    streamy_client.open("/events", last_event_id="of-another-life")
    assert streamy_client.wait_for("gap").type == "streamy.gap"


def test_what_never_comes_fails_and_says_what_came_instead(
    sse: StreamManager, streamy_client: EventClient
) -> None:
    stream = streamy_client.open("/events")
    sse.send_event("news", "a", "other")
    stream.wait_for("other")
    sse.send_event("news", "b", "another")
    said = r"/events gave no streamy\.gap, within 0\.1 s, but another 'b'$"
    with pytest.raises(AssertionError, match=said):
        stream.wait_for("gap", timeout=0.1)
    assert [event.data for event in stream.events(1)] == ["b"], "what came can still be read"


def test_waiting_ends_with_the_stream(sse: StreamManager, streamy_client: EventClient) -> None:
    stream = streamy_client.open("/events")
    sse.end_stream("news")
    said = r"gave no streamy\.gap, and then the stream was over, but streamy\.end"
    with pytest.raises(AssertionError, match=said):
        stream.wait_for("gap")


def test_a_client_that_has_no_stream_yet_says_what_to_do(streamy_client: EventClient) -> None:
    with pytest.raises(AssertionError, match="open one first"):
        streamy_client.wait_for("gap")


def test_another_client_has_its_own_headers_and_leaves_with_the_first(app: Flask, sse: StreamManager) -> None:
    @app.get("/mine")
    def mine() -> Response:
        return sse.get_stream(f"user:{request.headers.get('X-User')}")

    with EventClient(app, headers={"X-User": "ann"}) as ann:
        bob = ann.another(headers={"X-User": "bob"})
        ann.open("/mine"), bob.open("/mine")
        sse.send_event("user:bob", "for bob")
        assert bob.wait_for("message").data == "for bob"
        with pytest.raises(AssertionError, match="but nothing else"):
            ann.wait_for("message", timeout=0.05)
    eventually(lambda: sse.health.clients == 0, "both have left")


def test_what_a_browser_was_told_to_wait_is_known(streamy_client: EventClient) -> None:
    assert streamy_client.open("/events").retry == 3_000
