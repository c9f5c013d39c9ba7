"""The live page is closed to strangers, by each of its addresses; and what it answers to those let in."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Request
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import streamy_core.live_page
from streamy_backends.memory import MemoryBroker
from streamy_core import Event, RunOutcome, StreamManager
from streamy_core.events import CONTROL, LEASES, SUMMARIES
from streamy_core.testing.reading import DEADLINE, eventually

FILES = Path(streamy_core.live_page.__file__).parent / "files"
LOOKS = [
    "/streamy/",
    *[f"/streamy/overview/{path.name}" for path in sorted(FILES.iterdir()) if path.name != "page.html"],
    "/streamy/overview.json",
    "/streamy/overview/about",
    "/streamy/overview/find?q=news",
    "/streamy/overview/stream?id=news",
]
STREAMS = ["/streamy/overview/live", "/streamy/overview/follow?id=news"]
ACTS = ["/streamy/overview/disconnect", "/streamy/overview/test", "/streamy/overview/stop"]
GIVEN = {"key": "ann", "id": "news"}
OURS = {"X-Streamy-Page": "1"}
HOSTILE = ["<script>alert(1)</script>", "a\u202eb", "x" * 255, '"onload="', "&amp;", "ünï/../?&=#%00"]


class Site:
    """An app with a live page, which a client of the machine itself asks for."""

    def __init__(self, **settings: Any) -> None:
        self.broker = MemoryBroker()
        self.app = Flask(__name__)
        config = settings.pop("config", {})
        self.app.config.update(config)
        self.sse = StreamManager(self.app, broker=self.broker, **{"overview": "loopback", **settings})
        self.app.register_blueprint(self.sse.blueprint)
        self.client: FlaskClient = self.app.test_client()
        self.sse.send_event("news", "the data", "headline")

    def ask(self, path: str, **asked: Any) -> TestResponse:
        """Ask for it as the page does, but for what is said. It isn't read further than it has to be."""
        headers = {**(OURS if path in ACTS else {}), **asked.pop("headers", {})}
        if path in ACTS:
            asked = {"method": "POST", "json": GIVEN, **asked}
        headers = {name: value for name, value in headers.items() if value is not None}
        with self.client.open(path, headers=headers, buffered=False, **asked) as response:
            if path not in STREAMS:
                response.get_data()
            return response

    def tell_soon(self) -> None:
        """Have the process tell of itself without waiting for its time."""
        reporting = self.sse.binding.reporting
        assert reporting is not None
        reporting.hurry()

    def acted(self) -> list[str]:
        """What was published, beside the event that was there."""
        return [
            event.data
            for name in ("news", CONTROL, LEASES)
            for event in (entry.event for entry in self.broker.read({name: ""}, 10, 10**6)[name].entries)
            if event.data != "the data"
        ]


@pytest.fixture
def make_site() -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(**settings: Any) -> Site:
        made.append(Site(**settings))
        return made[-1]

    yield make
    for site in made:
        site.sse.close()
        site.broker.close()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


EVERY_WAY = [*LOOKS, *STREAMS, *ACTS]


def open_ways(site: Site, **asked: Any) -> list[str]:
    """Those that answer otherwise than if there were no such address, or do something."""
    nowhere = site.client.get("/streamy/nowhere").text
    found = []
    for path in EVERY_WAY:
        response = site.ask(path, **asked)
        if response.status_code != 404 or response.text != nowhere or site.acted():
            found.append(path)
    return found


@pytest.mark.parametrize("path", EVERY_WAY)
def test_it_is_open_to_the_machine_itself(site: Site, path: str) -> None:
    response = site.ask(path)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert "Access-Control-Allow-Origin" not in response.headers


def test_it_is_off_unless_it_is_switched_on(make_site: Callable[..., Site]) -> None:
    assert open_ways(make_site(overview=None)) == []


STRANGE: dict[str, dict[str, Any]] = {
    "another machine": {"environ_overrides": {"REMOTE_ADDR": "10.0.0.7"}},
    "a Unix socket": {"environ_overrides": {"REMOTE_ADDR": ""}},
    "X-Forwarded-For": {"headers": {"X-Forwarded-For": "127.0.0.1"}},
    "Forwarded": {"headers": {"Forwarded": "for=127.0.0.1"}},
    "Via": {"headers": {"Via": "1.1 proxy"}},
    "X-Real-IP": {"headers": {"X-Real-IP": "127.0.0.1"}},
    "another name of the machine": {"headers": {"Host": "evil.example"}},
    "a name that begins like it": {"headers": {"Host": "localhost.evil.example"}},
    "an address of another machine": {"headers": {"Host": "10.0.0.7:80"}},
    "HTTP/1.0, as proxies speak it": {"environ_overrides": {"SERVER_PROTOCOL": "HTTP/1.0"}},
    "another site": {"headers": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}},
    "another site without CORS": {"headers": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}},
    "another port": {"headers": {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}},
    "another origin": {"headers": {"Origin": "https://evil.example"}},
    "no origin that is told": {"headers": {"Origin": "null"}},
}


@pytest.mark.parametrize("asked", STRANGE.values(), ids=list(STRANGE))
def test_each_way_in_is_closed_to_strangers(site: Site, asked: dict[str, Any]) -> None:
    assert open_ways(site, **asked) == []


def test_a_function_decides_and_one_that_fails_lets_nobody_in(
    make_site: Callable[..., Site], caplog: pytest.LogCaptureFixture
) -> None:
    def is_operator(request: Request) -> bool:
        return request.headers["Authorization"] == "Bearer of-the-operator"

    site = make_site(overview=is_operator)
    far = {"environ_overrides": {"REMOTE_ADDR": "10.0.0.7"}}
    assert open_ways(site, headers={"Authorization": "Bearer of-another"}, **far) == []
    assert open_ways(site, headers={"Authorization": "Bearer of-the-operator"}, **far) == EVERY_WAY
    assert open_ways(make_site(overview=lambda request: request.no_such_thing)) == []
    assert "STREAMY_OVERVIEW has failed" in caplog.text


def test_an_app_that_knows_its_hosts_is_asked_by_no_other(make_site: Callable[..., Site]) -> None:
    site = make_site(overview=lambda _: True, config={"TRUSTED_HOSTS": ["shop.example"]})
    for path in EVERY_WAY:
        assert site.ask(path, headers={"Host": "evil.example"}).status_code == 400
        assert not site.acted()
    assert open_ways(site, headers={"Host": "shop.example"}) == EVERY_WAY


def test_nothing_is_done_for_who_lacks_what_only_the_page_can_send(site: Site) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for path in ACTS:
        assert site.ask(path, headers={"X-Streamy-Page": None}).status_code == 404
        for method in ("GET", "PUT", "DELETE"):
            assert site.ask(path, method=method, json=None).status_code in (404, 405)
        names = {"Access-Control-Request-Headers": "x-streamy-page"}
        preflight = site.client.options(path, headers={**asked, **names})
        assert not [name for name, _ in preflight.headers if name.startswith("Access-Control")]
    assert not site.acted()


def test_no_origin_that_may_read_streams_may_read_these(make_site: Callable[..., Site]) -> None:
    site = make_site(allow_origins=["https://shop.example"])
    assert open_ways(site, headers={"Origin": "https://shop.example"}) == []


def test_others_may_link_to_the_page_and_to_nothing_else(site: Site) -> None:
    visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert site.ask("/streamy/", headers=visit).status_code == 200
    assert open_ways(site, headers=visit) == ["/streamy/"]


def test_who_is_refused_is_in_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        site.ask("/streamy/", headers={"Host": "evil.example"})
    assert caplog.text.count("requests for the live page refused: 1 since it was last said") == 1
    assert "'evil.example', which isn't localhost" in caplog.text


def test_nobody_gets_the_stream_of_summaries_but_by_the_page(site: Site) -> None:
    for name in (SUMMARIES, CONTROL):
        assert site.client.get("/streamy/overview/stream", query_string={"id": name}).status_code == 400
        assert site.client.get("/streamy/overview/follow", query_string={"id": name}).status_code == 400
        act = {"json": {"id": name}, "headers": OURS}
        for path in ("/streamy/overview/test", "/streamy/overview/stop"):
            assert site.client.post(path, **act).status_code == 400
    site.client.get("/streamy/overview.json")
    found = site.client.get("/streamy/overview/find?q=streamy").get_json()
    assert found["streams"] == []


def test_the_page_asks_nobody_else_for_anything_and_runs_nothing_that_is_written_into_it(site: Site) -> None:
    response = site.ask("/streamy/")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'" in policy
    assert "unsafe" not in policy
    for path in FILES.iterdir():
        text = path.read_text("utf-8")
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text), path
        assert not re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|style=| on\w+=", text
        ), path


def test_the_live_stream_begins_with_what_was_told_lately(site: Site) -> None:
    site.ask("/streamy/overview.json")
    eventually(lambda: SUMMARIES in {info.stream_id for info in site.broker.streams()}, "it has told")
    response = site.client.get("/streamy/overview/live", buffered=False)
    body = b""
    for chunk in response.response:
        body += chunk if isinstance(chunk, bytes) else chunk.encode()
        if b"event: summary" in body:
            break
    response.close()
    assert b'"process":"' in body


def test_overview_json_has_all_processes(site: Site) -> None:
    def told() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = site.client.get("/streamy/overview.json").get_json()["processes"]
        return found

    eventually(told, "it is there, though it published before it served", within=3)
    assert told()[0]["manager"] == "default"
    assert {"rates", "silent_for", "clients", "wrong"} <= told()[0].keys()


def look(site: Site, name: str) -> dict[str, Any]:
    found: dict[str, Any] = site.client.get("/streamy/overview/stream", query_string={"id": name}).get_json()
    return found


def test_a_stream_is_shown_with_its_newest_entries_and_without_their_data(site: Site) -> None:
    for number in range(60):
        site.sse.send_event("news", str(number))
    found = look(site, "news")
    assert (found["exists"], found["ended"], found["published"], found["more"]) == (True, False, 61, True)
    assert len(found["entries"]) == 50
    newest = found["entries"][0]
    assert (newest["id"], newest["name"], newest["bytes"], newest["age"]) == (found["cursor"], None, 2, 5.0)
    assert "data" not in newest


def test_data_is_shown_where_the_setting_says_so(make_site: Callable[..., Site]) -> None:
    site = make_site(overview_data=True)
    assert look(site, "news")["entries"][0]["data"] == "the data"
    assert site.client.get("/streamy/overview/about").get_json()["data"] is True


def test_a_stream_that_never_was_and_one_that_has_ended(site: Site) -> None:
    assert look(site, "other") | {"cursor": ""} == {
        "id": "other",
        "exists": False,
        "ended": False,
        "cursor": "",
        "published": 0,
        "more": False,
        "entries": [],
    }
    site.sse.end_stream("news")
    found = look(site, "news")
    assert (found["exists"], found["ended"], len(found["entries"])) == (True, True, 1)
    answer = site.ask("/streamy/overview/test")
    assert (answer.status_code, "ended" in answer.get_json()["error"]) == (409, True)


@pytest.mark.parametrize("shows", [False, True])
def test_who_follows_a_stream_is_told_of_each_entry_and_of_its_data_only_where_that_is_shown(
    make_site: Callable[..., Site], shows: bool
) -> None:
    site = make_site(overview_data=shows)
    query = {"id": "news", "after": look(site, "news")["cursor"]}
    response = site.client.get("/streamy/overview/follow", query_string=query, buffered=False)
    body = iter(response.response)
    next(body)
    site.sse.send_event("news", "private\nmatters", "note")
    told = next(body)
    response.close()
    lines = (told if isinstance(told, bytes) else told.encode()).decode().splitlines()
    given = json.loads(next(line for line in lines if line.startswith("data: ")).removeprefix("data: "))
    assert given == {"name": "note", "bytes": 15, **({"data": "private\nmatters"} if shows else {})}
    assert not [line for line in lines if line.startswith("event:")]


@pytest.mark.parametrize("name", HOSTILE)
def test_streams_are_found_by_parts_of_their_names_whatever_these_are(site: Site, name: str) -> None:
    site.sse.send_event(name, "x")
    for part in (name, name[1:4], name.upper()):
        found = site.client.get("/streamy/overview/find", query_string={"q": part}).get_json()
        assert name in [one["id"] for one in found["streams"]]
    assert look(site, name)["id"] == name


def test_a_test_event_is_sent_to_a_stream_that_is_there(site: Site) -> None:
    answer = site.ask("/streamy/overview/test")
    assert look(site, "news")["entries"][0] | {"age": 5.0} == {
        "id": answer.get_json()["id"], "name": "test", "bytes": 39, "age": 5.0,
    }  # fmt: skip
    assert site.ask("/streamy/overview/test", json={"id": "nwes"}).status_code == 400
    assert look(site, "nwes")["exists"] is False


def test_settings_are_shown_whatever_they_are(make_site: Callable[..., Site]) -> None:
    site = make_site(stream_group={}.get)
    answer = site.ask("/streamy/overview/about")
    assert answer.status_code == 200
    shown = {one["key"]: one["value"] for one in answer.get_json()["settings"]}
    assert shown["STREAMY_STREAM_GROUP"] == "builtins:dict.get"


def test_a_host_that_is_none_is_another(site: Site) -> None:
    for name in ("[::1", "[v1.x]", "localhost@evil.example", ""):
        assert open_ways(site, headers={"Host": name}) == []


def test_what_is_nested_too_deep_names_no_key(site: Site) -> None:
    answer = site.ask(
        "/streamy/overview/disconnect", json=None, data="[" * 100_000, content_type="application/json"
    )
    assert answer.status_code == 400


def test_a_key_is_disconnected_wherever_its_clients_are(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.ask("/streamy/overview/disconnect")
    (command,) = site.acted()
    assert json.loads(command)["key"] == "ann"
    assert "clients of the key 'ann' are disconnected, for 127.0.0.1" in caplog.text


def test_a_run_is_listed_while_it_goes_on_and_stopped_by_who_asks(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> list[tuple[list[dict[str, Any]], int]]:
        site.tell_soon()
        processes = site.client.get("/streamy/overview.json").get_json()["processes"]
        return [(each["runs"], each["running"]) for each in processes]

    may_go = threading.Event()

    def numbers() -> Iterator[str]:
        yield "1"
        may_go.wait(DEADLINE)
        yield "2"

    run = site.sse.start_run("chat:1", numbers())
    eventually(lambda: told() and told()[0][1] == 1, "it is told")
    (listed_run,) = told()[0][0]
    seconds = listed_run.pop("seconds")
    assert listed_run == {"stream": "chat:1", "entries": 1, "stopping": False}
    assert 0 <= seconds < DEADLINE
    assert site.ask("/streamy/overview/stop", json={"id": "chat:1"}).status_code == 200
    eventually(lambda: told()[0][0][0]["stopping"], "it is to stop")
    may_go.set()
    assert run.wait(DEADLINE) is RunOutcome.STOPPED
    eventually(lambda: told()[0] == ([], 0), "it is told no more")
    assert "the run of the stream 'chat:1' is told to stop, for 127.0.0.1" in caplog.text


def test_a_run_that_another_holds_is_stopped_too(site: Site) -> None:
    may_go = threading.Event()

    def numbers() -> Iterator[str]:
        yield "1"
        may_go.wait(DEADLINE)
        while True:
            yield "2"
            time.sleep(0.01)

    app = Flask(__name__)
    with StreamManager(app, broker=site.broker) as other:
        run = other.start_run("chat:1", numbers())
        assert site.ask("/streamy/overview/stop", json={"id": "chat:1"}).status_code == 200
        may_go.set()
        assert run.wait(DEADLINE) is RunOutcome.STOPPED


def test_of_many_runs_the_longest_are_told_and_how_many_there_are(site: Site) -> None:
    def told() -> tuple[list[str], int]:
        site.tell_soon()
        processes = site.client.get("/streamy/overview.json").get_json()["processes"]
        return (
            ([run["stream"] for run in processes[0]["runs"]], processes[0]["running"])
            if processes
            else ([], 0)
        )

    with ExitStack() as stack:
        for number in range(42):
            stack.enter_context(site.sse.run(f"job:{number:02}"))
        eventually(lambda: told() == ([f"job:{number:02}" for number in range(40)], 42), "they are told")


def test_a_process_that_does_nothing_but_hold_a_run_tells_of_it() -> None:
    app, broker = Flask(__name__), MemoryBroker()  # what an app has is closed once nobody holds it
    with StreamManager(app, broker=broker, overview="loopback") as sse, sse.run("job:1"):
        reporting = sse.binding.reporting
        assert reporting is not None
        reporting.hurry()

        def told() -> list[str]:
            reporting.overview.refresh()
            return [run.stream for one in reporting.overview.processes() for run in one.summary.runs]

        eventually(lambda: told() == ["job:1"], "it is told", within=2)
    broker.close()


@pytest.mark.parametrize("given", [{}, [], None, {"id": ""}, {"id": {}}, {"id": None}, "news"])
def test_what_names_no_stream_stops_nothing(site: Site, given: Any) -> None:
    answer = site.ask("/streamy/overview/stop", json=given)
    assert (answer.status_code, bool(answer.get_json()["error"])) == (400, True)
    assert not site.acted()


@pytest.mark.parametrize("given", [{}, [], None, {"key": ""}, {"key": {}}, {"key": None}, "ann"])
def test_what_names_no_key_disconnects_nobody(site: Site, given: Any) -> None:
    answer = site.ask("/streamy/overview/disconnect", json=given)
    assert answer.status_code == 400
    assert answer.get_json()["error"]
    assert not site.acted()


def test_the_process_that_answers_says_what_is_wrong_with_it_whatever_the_broker_does(site: Site) -> None:
    def wrong() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = site.client.get("/streamy/overview/about").get_json()["wrong"]
        return found

    eventually(lambda: wrong() == [], "all is well")
    site.broker.close()
    eventually(lambda: wrong() and wrong()[0]["what"] in ("broker", "stopping"), "it says so")


def test_settings_are_shown_without_secrets(make_site: Callable[..., Site]) -> None:
    options = {"password": "hunter2", "history": 5}
    site = make_site(broker_options=options, broker_url="redis://me:hunter3@cache/0?token=hunter4")
    text = site.client.get("/streamy/overview/about").text
    assert "hunter" not in text
    shown = {one["key"]: one for one in json.loads(text)["settings"]}
    assert shown["STREAMY_MAX_RETRIES"] == {"key": "STREAMY_MAX_RETRIES", "value": "3", "default": True}
    assert "cache" in shown["STREAMY_BROKER_URL"]["value"]
    assert shown["STREAMY_BROKER_URL"]["default"] is False


def test_a_hostile_summary_stays_text(site: Site) -> None:
    site.broker.append(SUMMARIES, [Event(json.dumps({"process": "<b>", "streams": [{"name": "<script>"}]}))])
    answer = site.client.get("/streamy/overview.json")
    assert answer.mimetype == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
