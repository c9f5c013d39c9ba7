"""Pages of other origins: which requests are refused, and what is said to those that aren't."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, Response, request
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import SecurityError
from werkzeug.test import TestResponse

from streamy_backends.memory import MemoryBroker
from streamy_core import ConfigError, StreamManager
from streamy_core.testing import EventClient, FaultyBroker

from .apps import make_app

PAGE = "https://app.example"
EVIL = "https://evil.example"
COOKIE = {"Cookie": "session=1"}
ALLOW = "Access-Control-Allow-Origin"
CREDENTIALS = "Access-Control-Allow-Credentials"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "GET"}

Make = Callable[..., FlaskClient]
Said = dict[str, str]


class Case:
    """An app with a stream, and how it was asked for."""

    def __init__(self) -> None:
        self.managers: list[StreamManager] = []
        self.broker = FaultyBroker(MemoryBroker())

    def make(self, *, given: Any = None, methods: tuple[str, ...] = (), **config: Any) -> FlaskClient:
        app = make_app(**config)
        sse = StreamManager(app, broker=self.broker)
        self.managers.append(sse)

        @app.route("/stream", methods=["GET", *methods])
        def stream() -> Response:
            return sse.get_stream("news", **(given or {}))

        @app.get("/later")
        def later() -> Response:
            return sse.try_later(**(given or {}))

        @app.route("/own", methods=["GET", "OPTIONS"])
        def own() -> str:
            return request.method

        return app.test_client(use_cookies=False)


@pytest.fixture
def case() -> Iterator[Case]:
    case = Case()
    yield case
    for manager in case.managers:
        manager.close()


@pytest.fixture
def make(case: Case) -> Make:
    return case.make


def ask(client: FlaskClient, *given: Said, path: str = "/stream", method: str = "GET") -> TestResponse:
    headers = {name: value for each in given for name, value in each.items()}
    response = client.open(path, method=method, headers=headers, buffered=False)
    response.close()
    return response


def site(of: str) -> dict[str, str]:
    return {"Sec-Fetch-Site": of}


def origin(of: str) -> dict[str, str]:
    return {"Origin": of}


@pytest.mark.parametrize(
    "said",
    [
        site("cross-site"),
        site("same-site"),
        {**site("cross-site"), **origin(EVIL)},
        {**site("cross-site"), **origin("http://localhost")},
        origin(EVIL),
        origin("null"),
        origin("http://localhost.evil.example"),
        {**site("something new"), **origin(EVIL)},
    ],
    ids=str,
)
@pytest.mark.parametrize("by", [COOKIE, {"Authorization": "Basic YTpi"}], ids=["cookie", "login"])
def test_another_origins_page_with_cookies_is_refused(make: Make, said: Said, by: Said) -> None:
    response = ask(make(), said, by)
    assert response.status_code == 403
    assert response.mimetype == "text/plain"
    assert response.data == b"This stream is not for pages of other origins.\n"


@pytest.mark.parametrize(
    "said",
    [
        {},
        site("same-origin"),
        site("none"),
        {**site("same-origin"), **origin("https://the-name-outside.example")},
        origin("http://localhost"),
        origin("https://localhost"),
        origin("http://localhost:8080"),
        {**origin("https://shop.example"), "X-Forwarded-Host": "shop.example"},
        {**origin("https://shop.example:8443"), "X-Forwarded-Host": "inner, shop.example:8443"},
        {**origin("https://shop.example"), "Host": "shop.example:443"},
    ],
    ids=str,
)
def test_nothing_changes_for_pages_of_the_same_origin(make: Make, said: Said) -> None:
    response = ask(make(), said, COOKIE)
    assert response.status_code == 200
    assert not [name for name, _ in response.headers if name.startswith("Access-Control") or name == "Vary"]


def test_without_cookies_nobody_is_refused(make: Make) -> None:
    response = ask(make(), site("cross-site"), origin(EVIL))
    assert response.status_code == 200
    assert ALLOW not in response.headers


def test_none_is_refused_where_a_setting_says_so(make: Make) -> None:
    assert ask(make(STREAMY_REFUSE_CROSS_SITE=False), site("cross-site"), COOKIE).status_code == 200


def test_who_is_refused_costs_the_broker_nothing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    client = case.make()
    asked: list[str] = []
    monkeypatch.setattr(case.broker, "tail", asked.append)
    monkeypatch.setattr(case.broker, "read", asked.append)
    assert ask(client, site("cross-site"), COOKIE).status_code == 403
    assert asked == []


def test_the_log_says_why_and_how_many_once_in_a_while(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    client = make()
    with caplog.at_level(logging.WARNING, "streamy.manager"):
        for _ in range(5):
            ask(client, site("cross-site"), origin(EVIL), COOKIE)
    (said,) = [record.message for record in caplog.records]
    assert "/stream" in said
    assert EVIL in said
    assert "STREAMY_ALLOW_ORIGINS" in said


@pytest.mark.parametrize(
    ("given", "config"),
    [
        ({"allow_origins": PAGE}, {}),
        ({"allow_origins": {PAGE, "https://more.example"}}, {}),
        ({}, {"STREAMY_ALLOW_ORIGINS": [PAGE]}),
        ({"allow_origins": PAGE}, {"STREAMY_ALLOW_ORIGINS": [EVIL]}),
    ],
    ids=["view", "view, several", "config", "view over config"],
)
@pytest.mark.parametrize("path", ["/stream", "/later"])
@pytest.mark.parametrize("fetch", [site("cross-site"), site("same-site"), {}], ids=str)
def test_a_page_that_is_allowed_reads_with_cookies(
    make: Make, given: Any, config: Any, path: str, fetch: Said
) -> None:
    client = make(given=given, **config)
    response = ask(client, fetch, origin(PAGE), COOKIE, path=path)
    assert response.status_code == 200
    assert response.headers.getlist(ALLOW) == [PAGE]
    assert response.headers.getlist(CREDENTIALS) == ["true"]
    assert "Origin" in response.vary
    refused = ask(client, fetch, origin(EVIL), COOKIE)
    assert refused.status_code == 403
    assert ALLOW not in refused.headers
    assert "Origin" in refused.vary


def test_a_view_may_allow_none_where_the_config_allows_some(make: Make) -> None:
    client = make(given={"allow_origins": ()}, STREAMY_ALLOW_ORIGINS=[PAGE])
    assert ask(client, origin(PAGE), COOKIE).status_code == 403


def test_origins_are_compared_exactly(make: Make) -> None:
    client = make(STREAMY_ALLOW_ORIGINS=[PAGE])
    for near in (f"{PAGE}:8443", f"{PAGE}.evil.example", "http://app.example", f"x{PAGE}", PAGE.upper()):
        assert ask(client, origin(near), COOKIE).status_code == 403, near


def test_what_a_view_gives_is_checked(make: Make) -> None:
    client = make(given={"allow_origins": "https://app.example/"})
    client.application.testing = True
    with pytest.raises(ConfigError, match=r"'https://app.example'$"):
        ask(client)


def test_who_has_seen_the_end_may_read_that(case: Case) -> None:
    client = case.make(STREAMY_ALLOW_ORIGINS=[PAGE])
    sse = case.managers[0]
    with EventClient(client.application) as reader, reader.open("/stream") as stream:
        sse.end_stream("news")
        stream.read_to_end()
        end = stream.last_event_id
    response = ask(client, origin(PAGE), COOKIE, {"Last-Event-ID": end})
    assert response.status_code == 204
    assert response.headers[ALLOW] == PAGE


def test_who_is_told_to_come_back_may_read_that(case: Case) -> None:
    client = case.make(STREAMY_ALLOW_ORIGINS=[PAGE])
    case.broker.go_away()
    response = ask(client, origin(PAGE), COOKIE)
    assert response.data.startswith(b"retry:")
    assert response.headers[ALLOW] == PAGE


def test_a_views_own_headers_win(make: Make) -> None:
    own = {ALLOW.lower(): PAGE, CREDENTIALS: "true", "Vary": "Cookie"}
    client = make(given={"headers": own}, STREAMY_ALLOW_ORIGINS=["https://more.example"])
    response = ask(client, origin(PAGE), COOKIE, site("cross-site"))
    assert response.status_code == 200
    assert response.headers.getlist(ALLOW) == [PAGE]
    assert set(response.vary) == {"Cookie", "Origin"}


@pytest.mark.parametrize("adds", ["flask-cors", "a hook that adds"])
def test_no_header_is_there_twice_beside_an_extension(make: Make, adds: str) -> None:
    client = make(STREAMY_ALLOW_ORIGINS=[PAGE])
    app = client.application
    if adds == "flask-cors":
        cors = pytest.importorskip("flask_cors")
        cors.CORS(app, origins=[PAGE, EVIL], supports_credentials=True)
    else:

        @app.after_request
        def add(response: Response) -> Response:
            response.headers.add(ALLOW, request.headers["Origin"])
            response.headers.add(CREDENTIALS, "true")
            return response

    for method, more in (("GET", {}), ("OPTIONS", PREFLIGHT)):
        response = ask(client, origin(PAGE), COOKIE, more, method=method)
        assert response.headers.getlist(ALLOW) == [PAGE]
        assert response.headers.getlist(CREDENTIALS) == ["true"]


def test_a_preflight_is_answered_without_a_line_of_the_apps(make: Make) -> None:
    client = make(STREAMY_ALLOW_ORIGINS=[PAGE])
    asked = {"Access-Control-Request-Headers": "authorization,last-event-id, x-mine"}
    response = ask(client, PREFLIGHT, asked, method="OPTIONS")
    assert response.status_code == 204
    assert response.headers[ALLOW] == PAGE
    assert response.headers[CREDENTIALS] == "true"
    assert response.headers["Access-Control-Allow-Methods"] == "GET, HEAD"
    allowed = response.headers["Access-Control-Allow-Headers"].lower()
    assert {name.strip() for name in allowed.split(",")} == {"authorization", "last-event-id", "x-mine"}
    assert int(response.headers["Access-Control-Max-Age"]) > 0
    assert "Origin" in response.vary


def test_a_hook_that_asks_who_it_is_does_not_hinder_a_preflight(make: Make) -> None:
    client = make(STREAMY_ALLOW_ORIGINS=[PAGE])

    @client.application.before_request
    def log_in() -> ResponseReturnValue:
        return "who are you?", 401

    assert ask(client, PREFLIGHT, method="OPTIONS").status_code == 204
    assert ask(client, origin(PAGE)).status_code == 401


@pytest.mark.parametrize(
    "asked",
    [
        {"Origin": EVIL},
        {"Access-Control-Request-Method": "POST"},
        {"Access-Control-Request-Method": "DELETE"},
    ],
    ids=str,
)
def test_no_other_preflight_is_answered(make: Make, asked: dict[str, str]) -> None:
    response = ask(make(STREAMY_ALLOW_ORIGINS=[PAGE]), PREFLIGHT, asked, method="OPTIONS")
    assert response.status_code == 200
    assert not [name for name, _ in response.headers if name.startswith("Access-Control")]


def test_options_that_are_no_preflight_or_that_a_view_answers_are_left_alone(make: Make) -> None:
    client = make(STREAMY_ALLOW_ORIGINS=[PAGE])
    assert "GET" in ask(client, origin(PAGE), method="OPTIONS").headers["Allow"]
    assert ask(client, PREFLIGHT, path="/own", method="OPTIONS").data == b"OPTIONS"
    assert ask(client, PREFLIGHT, path="/nowhere", method="OPTIONS").status_code == 404


@pytest.mark.parametrize("asked", ["x" * 1001, "a b", "a,,b", "ä", "*)("], ids=repr)
def test_of_names_that_are_none_only_ours_is_allowed(make: Make, asked: str) -> None:
    client = make(STREAMY_ALLOW_ORIGINS=[PAGE])
    headers = {"Access-Control-Request-Headers": asked}
    response = ask(client, PREFLIGHT, headers, method="OPTIONS")
    assert response.headers["Access-Control-Allow-Headers"] == "Last-Event-ID"


def test_a_view_with_origins_of_its_own_answers_its_preflights(make: Make) -> None:
    client = make(given={"allow_origins": PAGE}, methods=("OPTIONS",))
    response = ask(client, PREFLIGHT, method="OPTIONS")
    assert (response.status_code, response.headers[ALLOW]) == (204, PAGE)
    assert "Last-Event-ID" in response.headers["Access-Control-Allow-Headers"]
    assert ALLOW not in ask(client, PREFLIGHT, origin(EVIL), method="OPTIONS").headers


def test_a_host_that_the_app_does_not_trust_gets_no_stream(case: Case) -> None:
    client = case.make(TRUSTED_HOSTS=["app.example", ".shop.example"])
    for host in ("app.example", "app.example:8000", "eu.shop.example"):
        assert ask(client, {"Host": host}).status_code == 200, host
    for host in ("evil.example", "app.example.evil.example", "127.0.0.1"):
        assert ask(client, {"Host": host}).status_code == 400, host


def test_hosts_are_looked_at_with_any_flask(case: Case) -> None:
    client = case.make()
    with client.application.test_request_context("/stream", base_url="http://evil.example"):
        client.application.config["TRUSTED_HOSTS"] = ["app.example"]  # Flask 3.0 doesn't know it
        with pytest.raises(SecurityError):
            case.managers[0].get_stream("news")


def test_a_manager_that_is_first_used_in_a_request_answers_too(case: Case) -> None:
    app = Flask(__name__)
    app.config["STREAMY_ALLOW_ORIGINS"] = [PAGE]
    sse = StreamManager(broker=case.broker)
    case.managers.append(sse)
    app.add_url_rule("/stream", view_func=lambda: sse.get_stream("news"))
    client = app.test_client()
    assert ask(client, origin(PAGE), COOKIE).headers[ALLOW] == PAGE
    assert ask(client, PREFLIGHT, method="OPTIONS").status_code == 204
