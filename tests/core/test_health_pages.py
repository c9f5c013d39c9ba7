"""What `/ready` and `/live` answer, to whom, and what it costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from flask import Flask, Request
from flask.testing import FlaskClient

from streamy_backends.memory import MemoryBroker
from streamy_core import BrokerUnavailable, Event, StreamManager
from streamy_core.engine.health import Part, Trouble
from streamy_core.testing.reading import DEADLINE, eventually

from ..support.making import closed_in_the_end

SECRET = "db.internal:6379"


class Broker(MemoryBroker):
    """One that fails, or says nothing, when it is told so.

    appended: to which streams, so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.silent = False
        self.over = threading.Event()
        self.appended: list[str] = []

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        if self.error is not None:
            raise self.error
        if self.silent:
            self.over.wait(2 * DEADLINE)
        self.appended.append(stream_id)
        return super().append(stream_id, events, idempotency_key=idempotency_key)


class Site:
    """An app with a manager, whose broker can be made to fail."""

    def __init__(self, **settings: Any) -> None:
        self.broker = Broker()
        self.app = Flask(__name__)
        self.sse = StreamManager(self.app, broker=self.broker, **{"canary_interval": 0.02, **settings})
        self.app.register_blueprint(self.sse.blueprint)
        self.client: FlaskClient = self.app.test_client()

    def fail(self) -> None:
        self.broker.error = BrokerUnavailable(f"no answer of {SECRET}")
        eventually(lambda: self.client.get("/streamy/ready").status_code == 503, "it isn't ready")

    def wrong(self, **request: Any) -> dict[str, Any]:
        """The first thing that is wrong."""
        answer: dict[str, Any] = self.client.get("/streamy/ready", **request).get_json()["wrong"][0]
        return answer

    def close(self) -> None:
        self.broker.over.set()
        self.sse.close()
        self.broker.close()


@pytest.fixture
def make_site() -> Iterator[Callable[..., Site]]:
    with closed_in_the_end(Site) as make:
        yield make


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


def allowed(asked: Request) -> bool:
    """As an app may decide."""
    return asked.headers.get("Authorization") == "Bearer of-the-operator"


def test_a_worker_that_serves_nobody_is_ready_at_its_first_answer(site: Site) -> None:
    answer = site.client.get("/streamy/ready")
    assert (answer.status_code, answer.get_json()) == (200, {"ready": True, "wrong": []})
    answer = site.client.get("/streamy/live")
    assert (answer.status_code, answer.get_json()) == (200, {"live": True, "wrong": []})


@pytest.mark.parametrize("path", ["/streamy/ready", "/streamy/live"])
def test_no_cache_keeps_an_answer_and_head_has_the_status(site: Site, path: str) -> None:
    answer = site.client.get(path)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.mimetype == "application/json"
    assert site.client.head(path).status_code == 200
    assert site.client.post(path).status_code == 405


def test_what_is_wrong_and_for_how_long_is_told_to_everybody_and_no_more(site: Site) -> None:
    site.fail()
    answer = site.client.get("/streamy/ready")
    assert answer.get_json()["ready"] is False
    assert site.wrong().keys() == {"what", "for"}
    assert site.wrong()["what"] == "broker"
    assert SECRET not in answer.text
    eventually(lambda: site.wrong()["for"] >= 0.1, "the time goes on")


def test_a_broker_that_is_away_is_no_reason_to_restart(site: Site) -> None:
    site.fail()
    assert site.client.get("/streamy/live").status_code == 200


def test_who_asks_on_the_machine_itself_is_told_why_where_that_is_set(make_site: Callable[..., Site]) -> None:
    site = make_site(health_allow="loopback")
    site.fail()
    assert SECRET in site.wrong()["detail"]
    assert SECRET in site.wrong(environ_base={"REMOTE_ADDR": "::1"})["detail"]


@pytest.mark.parametrize(
    "header", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"], ids=lambda header: header.lower()
)
def test_who_comes_by_a_proxy_on_the_machine_is_not_on_it(
    make_site: Callable[..., Site], header: str
) -> None:
    site = make_site(health_allow="loopback")
    site.fail()
    assert "detail" not in site.wrong(headers={header: "127.0.0.1"})


@pytest.mark.parametrize("address", ["192.0.2.1", "", "unix:", "127.0.0.1.example"])
def test_nobody_else_is_told_why(make_site: Callable[..., Site], address: str) -> None:
    site = make_site(health_allow="loopback")
    site.fail()
    assert "detail" not in site.wrong(environ_base={"REMOTE_ADDR": address})


@pytest.mark.parametrize("given", [allowed, f"{__name__}:allowed"], ids=["function", "name"])
def test_an_app_says_itself_who_is_told_why(make_site: Callable[..., Site], given: Any) -> None:
    site = make_site(health_allow=given)
    site.fail()
    assert "detail" not in site.wrong()
    assert SECRET in site.wrong(headers={"Authorization": "Bearer of-the-operator"})["detail"]


def test_a_function_that_fails_lets_nobody_in_and_the_answer_stays(
    make_site: Callable[..., Site], caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(health_allow=lambda asked: asked.no_such_thing)
    site.fail()
    assert site.wrong().keys() == {"what", "for"}
    assert "STREAMY_HEALTH_ALLOW has failed" in caplog.text


def test_each_manager_answers_for_itself(site: Site) -> None:
    other = StreamManager(site.app, name="audit", broker=MemoryBroker())
    site.app.register_blueprint(other.blueprint, url_prefix="/audit")
    site.fail()
    assert site.client.get("/audit/ready").status_code == 200
    other.close()


def test_after_a_close_it_is_ready_no_more(site: Site) -> None:
    assert site.client.get("/streamy/ready").status_code == 200
    site.sse.close()
    answer = site.client.get("/streamy/ready")
    assert answer.status_code == 503
    assert [trouble["what"] for trouble in answer.get_json()["wrong"]] == ["stopping"]
    assert site.client.get("/streamy/live").status_code == 200


@pytest.mark.slow
def test_only_the_first_question_waits_and_only_a_second_for_a_broker_that_says_nothing(site: Site) -> None:
    site.broker.silent = True
    began = time.monotonic()
    answer = site.client.get("/streamy/ready")
    assert 0.9 < time.monotonic() - began < 5.0
    assert [trouble["what"] for trouble in answer.get_json()["wrong"]] == ["starting"]
    began = time.monotonic()
    for _ in range(20):
        assert site.client.get("/streamy/ready").status_code == 503
        assert site.client.get("/streamy/live").status_code == 200
    assert time.monotonic() - began < 0.9
    eventually(lambda: site.wrong()["what"] == "broker", "it is away for good")


def test_live_fails_with_what_only_a_restart_mends(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.sse.binding.checkup, "live", lambda: [Trouble(Part.LOOP, 61.27, "it stands")])
    answer = site.client.get("/streamy/live")
    assert answer.status_code == 503
    assert answer.get_json() == {"live": False, "wrong": [{"what": "loop", "for": 61.3}]}


def test_health_tells_the_same(site: Site) -> None:
    assert site.sse.health.wrong == ()
    assert site.sse.health.bell_seconds is None, "nothing begins by asking for it"
    site.fail()
    assert "broker" in site.sse.health.wrong


def test_a_hundred_questions_a_second_are_cheap(site: Site) -> None:
    site.client.get("/streamy/ready")
    appended = len(site.broker.appended)
    began = time.process_time()
    for _ in range(200):
        site.client.get("/streamy/ready")
    assert time.process_time() - began < 1.0
    assert len(site.broker.appended) - appended < 100, "one each interval, however many ask"
