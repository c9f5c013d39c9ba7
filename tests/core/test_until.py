"""A connection ends before the right to read does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from streamy_backends.memory import MemoryBroker
from streamy_core import StreamManager
from streamy_core.delivery.session import Session
from streamy_core.strategies import Never
from streamy_core.testing import EventClient

BUSY = 1.0
"""Seconds that a busy machine may take more. That ends come before the time is tested by sessions."""


@pytest.fixture
def app() -> Iterator[Flask]:
    """Its view streams "news" until `app.config["UNTIL"]`."""
    app = Flask(__name__)
    sse = StreamManager(app)

    @app.get("/events")
    def events() -> Any:
        return sse.get_stream("news", until=app.config["UNTIL"], after="")

    yield app
    sse.close()


def session_of(sse: StreamManager, **more: Any) -> Session:
    return sse.binding.session(["news"], None, Never(), **more)


def opening_of(app: Flask) -> dict[str, Any]:
    """What the opening frame tells."""
    response = app.test_client().get("/events", buffered=False)
    first = next(iter(response.iter_encoded())).decode()
    response.close()
    told: dict[str, Any] = json.loads(first.partition("data: ")[2].partition("\n")[0])
    return told


@pytest.mark.parametrize("moment", [lambda: 0.4, lambda: datetime.now(UTC) + timedelta(seconds=0.4)])
def test_a_connection_is_over_before_its_right_is(app: Flask, moment: Callable[[], Any]) -> None:
    app.config["UNTIL"] = moment()
    began = time.monotonic()
    with EventClient(app) as client:
        stream = client.open("/events")
        assert stream.read_to_end() == []
        assert 0.2 < time.monotonic() - began < 0.4 + BUSY
        assert stream.retry is not None


def test_a_right_ends_in_time_also_where_the_backend_is_slow() -> None:
    class Slow(MemoryBroker):
        def tail(self, stream_ids: Any) -> Any:
            time.sleep(0.5)
            return super().tail(stream_ids)

    app = Flask(__name__)
    with StreamManager(app, broker=Slow()) as sse, EventClient(app) as client:
        app.add_url_rule("/<float:until>", "view", lambda until: sse.get_stream("news", until=until))
        for until, streams in ((0.8, True), (0.3, False)):
            began = time.monotonic()
            stream = client.open(f"/{until}")
            assert stream.read_to_end() == []
            assert time.monotonic() - began < until + BUSY
            assert bool(stream.last_event_id) is streams


@pytest.mark.parametrize("until", [0, -5, datetime(2001, 1, 1, tzinfo=UTC)])
def test_whose_right_has_ended_is_given_nothing_and_told_to_come_back(app: Flask, until: Any) -> None:
    app.config["UNTIL"] = until
    app.extensions["streamy"]["default"].send_event("news", "secret")
    response = app.test_client().get("/events")
    assert response.status_code == 200
    assert response.get_data().startswith(b"retry: ")
    assert b"secret" not in response.get_data()


def test_ends_of_one_second_are_spread_before_it(app: Flask) -> None:
    sse = app.extensions["streamy"]["default"]
    with app.app_context():
        ends = [session_of(sse, until=100.0).seconds for _ in range(2_000)]
    assert max(ends) <= 98.0
    in_each_second = [sum(second <= end < second + 1 for end in ends) for second in range(80, 98)]
    assert sum(in_each_second) == 2_000
    assert max(in_each_second) < 2 * min(in_each_second)


def test_whichever_is_over_first_ends_a_connection() -> None:
    for age, until, longest in ((10.0, 1_000.0, 10.0), (1_000.0, 10.0, 9.8), (1_000.0, None, 1_000.0)):
        with StreamManager(max_connection_age=age) as sse:
            assert 0.8 * min(age, until or age) <= session_of(sse, until=until).seconds <= longest


def test_the_page_is_told_when_its_right_ends(app: Flask) -> None:
    app.config["UNTIL"] = 90
    assert opening_of(app) == {"keep_alive": 30, "until": 90}
    app.config["UNTIL"] = None
    assert opening_of(app) == {"keep_alive": 30}


@pytest.mark.parametrize(
    "until", ["90", True, float("nan"), datetime(2030, 1, 1), timedelta(seconds=5), b"1"]
)
def test_what_is_no_moment_is_refused(app: Flask, until: Any) -> None:
    app.config.update(UNTIL=until, TESTING=True)
    with pytest.raises(ValueError, match="until"):
        app.test_client().get("/events")


def test_a_time_without_end_is_no_error(app: Flask) -> None:
    for endless in (float("inf"), 10**12):
        app.config["UNTIL"] = endless
        assert opening_of(app)["until"] > 2_000_000
