"""`after=`: where a client begins that brings no cursor, and what it may be."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, Response, request

from streamy_core import BEGINNING, OLDEST, InvalidCursor, Last, Since, StreamManager
from streamy_core.ids import join_cursors
from streamy_core.testing import EventClient


@pytest.fixture
def app() -> Flask:
    """Its view reads the streams that are asked for, from the last entry of each."""
    app = Flask(__name__)
    app.extensions["sse"] = sse = StreamManager(app)

    @app.get("/")
    def stream() -> Response:
        return sse.get_stream(request.args["ids"].split(","), after=Last(1))

    return app


def began_with(app: Flask, query: str, **headers: str) -> list[str]:
    """The data of the first two events."""
    with EventClient(app) as client, client.open(f"/?{query}", headers=headers) as events:
        return sorted(event.data for event in events.events(2))


def test_a_client_that_brings_a_cursor_begins_there_and_not_as_the_view_says(app: Flask) -> None:
    sse = app.extensions["sse"]
    first = sse.send_events("news", ["a", "b", "c"])[0]
    for query, headers in (
        ("ids=news", {"Last-Event-ID": first}),
        (f"ids=news&last_event_id={first}", {}),
        (f"ids=news&lastEventId={first}", {}),
    ):
        assert began_with(app, query, **headers) == ["b", "c"]


def test_a_stream_that_the_cursor_does_not_speak_of_begins_as_the_view_says(app: Flask) -> None:
    sse = app.extensions["sse"]
    ids = {name: sse.send_events(name, [f"{name} 1", f"{name} 2"]) for name in ("old", "older", "new")}
    token = join_cursors({"old": ids["old"][0], "older": ids["older"][1]})
    assert began_with(app, "ids=old,older,new", **{"Last-Event-ID": token}) == ["new 2", "old 2"]


@pytest.mark.parametrize("after", [Last(1), Since(60), BEGINNING, OLDEST], ids=str)
def test_a_view_may_say_any_start(after: Any) -> None:
    app = Flask(__name__)
    with StreamManager(app) as sse:
        sse.send_event("news", "a")
        app.add_url_rule("/", view_func=lambda: sse.get_stream("news", after=after))
        with EventClient(app) as client, client.open("/") as events:
            assert [event.data for event in events.events(1)] == ["a"]


@pytest.mark.parametrize("count", [0, -1, 1.5, "5", None, True])
def test_last_takes_a_whole_number_above_zero(count: Any) -> None:
    with pytest.raises(InvalidCursor, match="Last takes a whole number of entries, 1 or more, not"):
        Last(count)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "5", None, True])
def test_since_takes_seconds_above_zero(seconds: Any) -> None:
    with pytest.raises(InvalidCursor, match="Since takes a number of seconds above 0, not"):
        Since(seconds)


@pytest.mark.parametrize("after", [5, 1.5, b"x", ["x"], Last])
def test_what_is_no_start_is_refused_with_all_that_may_be(after: Any) -> None:
    with StreamManager(broker="memory://") as sse, pytest.raises(InvalidCursor, match="BEGINNING, Last"):
        sse.subscribe("news", after)


@pytest.mark.parametrize("limit", [0, 1_001, 1.5, "5", None, True])
def test_a_history_has_a_limit(limit: Any) -> None:
    with StreamManager(broker="memory://") as sse, pytest.raises(ValueError, match="from 1 to 1000"):
        sse.history("news", limit)


def test_before_is_a_cursor() -> None:
    with StreamManager(broker="memory://") as sse, pytest.raises(InvalidCursor, match="before is a cursor"):
        sse.history("news", before=5)  # type: ignore[arg-type]


def test_a_history_is_json_as_a_view_returns_it() -> None:
    with StreamManager(broker="memory://") as sse:
        first, second = (sse.send_event("news", data, "note") for data in ("a", {"n": 1}))
        assert sse.history("news", 1).as_json() == {
            "entries": [{"id": second, "stream": "news", "name": "note", "data": {"n": 1}}],
            "cursor": second,
            "before": second,
        }
        assert sse.history("news", 1, before=second).as_json()["entries"][0]["id"] == first


@pytest.mark.parametrize("text", ["plain", "", "NaN", "-Infinity", "{", "[" * 100_000, "[1,]"])
def test_what_no_browser_takes_for_json_is_text_in_a_history(text: str) -> None:
    with StreamManager(broker="memory://") as sse:
        sse.send_event("news", text)
        assert [entry["data"] for entry in sse.history("news").as_json()["entries"]] == [text]
