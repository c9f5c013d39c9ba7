"""The documentation's examples do what it says they do."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import subprocess
import sys
import tomllib
import urllib.parse
import urllib.request
from importlib.metadata import EntryPoint
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from flask.testing import FlaskClient

from streamy_core import GAP, OLDEST, ConfigError, Event, StreamEnded, StreamManager
from streamy_core.plugins import find_backends, open_broker
from streamy_core.strategies import Jittered, Lag, SkipToLatest, Verdict
from streamy_core.testing import ManualClock
from streamy_core.testing.event_stream import Dispatched
from streamy_core.testing.reading import eventually

from .conftest import DOCS

if TYPE_CHECKING:
    from playwright.sync_api import Page as BrowserPage

    from .conftest import Connect, Load, Serve


def post(url: str, **form: str) -> str:
    with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode()) as answer:
        return str(answer.read().decode())


@pytest.mark.slow
def test_the_first_app_shows_news_and_survives_a_cut(gunicorn: Serve, browser_page: BrowserPage) -> None:
    address = gunicorn("first_app:app")
    post(f"{address}/send", text="before")
    browser_page.goto(address)
    browser_page.wait_for_selector("#state:text-is('live')")
    browser_page.fill("input", "by the form")
    browser_page.click("button")
    browser_page.wait_for_selector("li:text-is('by the form')")
    post(f"{address}/cut")
    browser_page.wait_for_selector("#state:text-is('waiting')")
    for n in range(3):
        post(f"{address}/send", text=f"meanwhile {n}")
    browser_page.wait_for_selector("#state:text-is('live')")
    browser_page.wait_for_selector("li:text-is('meanwhile 2')")
    shown = browser_page.locator("li").all_inner_texts()
    assert shown == ["before", "by the form", "meanwhile 0", "meanwhile 1", "meanwhile 2"]


def test_the_first_app_resumes_any_client_that_gives_its_last_id(load: Load, connect: Connect) -> None:
    app = load("first_app").app
    client = app.test_client()
    ids = [client.post("/send", data={"text": text}).text.strip() for text in ("one", "two")]
    again = connect(app, "/stream", last_event_id=ids[0])
    assert again.events(1) == [Dispatched("message", '{"text": "two"}', ids[1])]


def test_the_first_app_says_when_its_history_is_another(load: Load, connect: Connect) -> None:
    old = load("first_app").app.test_client().post("/send", data={"text": "one"}).text.strip()
    seen = connect(load("first_app").app, "/stream", last_event_id=old)
    assert seen.events(1)[0].type == GAP


@pytest.fixture
def ann(load: Load) -> tuple[ModuleType, FlaskClient, dict[str, str]]:
    """The example of rooms, a client by which ann has logged in, and the header that says so."""
    members = load("members")
    client = members.app.test_client()
    with client.session_transaction() as session:
        session["user"] = "ann"
    cookie = client.get_cookie("session")
    assert cookie
    return members, client, {"Cookie": f"session={cookie.value}"}


def test_only_members_read(load: Load) -> None:
    client = load("members").app.test_client()
    assert client.get("/rooms/tea/stream").status_code == 401
    with client.session_transaction() as session:
        session["user"] = "eve"
    assert client.get("/rooms/tea/stream").status_code == 403


def test_a_member_reads_until_it_is_removed(
    ann: tuple[ModuleType, FlaskClient, dict[str, str]], connect: Connect
) -> None:
    members, client, headers = ann
    seen = connect(members.app, "/rooms/tea/stream", headers=headers)
    with members.app.app_context():
        members.remove("tea", "ann")
    assert seen.read_to_end() == []
    assert client.get("/rooms/tea/stream").status_code == 403


def test_a_sixth_connection_of_a_member_is_told_to_come_back(
    ann: tuple[ModuleType, FlaskClient, dict[str, str]], connect: Connect
) -> None:
    members, _, headers = ann
    stay = [connect(members.app, "/rooms/tea/stream", headers=headers) for _ in range(5)]
    sixth = connect(members.app, "/rooms/tea/stream", headers=headers)
    assert (sixth.status, sixth.read_to_end()) == (200, [])
    members.sse.send_event("room:tea", "for those who stay")
    assert [len(seen.events(1)) for seen in stay] == [1] * 5


def test_who_is_removed_from_one_room_goes_on_with_the_other(
    load: Load, connect: Connect, tmp_path: Path, streamy_clock: ManualClock
) -> None:
    rooms = load("rechecked")
    rooms.app.config.from_mapping(ROOMS=str(tmp_path / "rooms.db"), STREAMY_CLOCK=streamy_clock)
    with sqlite3.connect(tmp_path / "rooms.db") as database:
        database.execute("CREATE TABLE members (user TEXT, room TEXT)")
        database.executemany("INSERT INTO members VALUES ('ann', ?)", [("tea",), ("chess",)])
    client = rooms.app.test_client()
    with client.session_transaction() as session:
        session["user"] = "ann"
    cookie = client.get_cookie("session")
    assert cookie
    seen = connect(rooms.app, "/stream", headers={"Cookie": f"session={cookie.value}"})
    assert rooms.sse.health.streams == 2
    with sqlite3.connect(tmp_path / "rooms.db") as database:
        database.execute("DELETE FROM members WHERE room = 'tea'")
    streamy_clock.advance(15.0)
    eventually(lambda: rooms.sse.health.streams == 1, "one is taken away")
    rooms.sse.send_event("room:tea", "secret")
    rooms.sse.send_event("room:chess", "e4")
    assert [event.data for event in seen.events(1)] == ["e4"]
    with sqlite3.connect(tmp_path / "rooms.db") as database:
        database.execute("DELETE FROM members")
    streamy_clock.advance(15.0)
    assert seen.read_to_end() == []
    assert client.get("/stream").status_code == 403


def test_an_address_has_six_connections_and_another_has_its_own(load: Load, connect: Connect) -> None:
    app = load("per_address").app
    stay = [connect(app, "/stream", headers={"X-Forwarded-For": "192.0.2.1"}) for _ in range(6)]
    seventh = connect(app, "/stream", headers={"X-Forwarded-For": "192.0.2.1"})
    assert (seventh.status, seventh.read_to_end()) == (200, [])
    stay.append(connect(app, "/stream", headers={"X-Forwarded-For": "192.0.2.2"}))
    app.extensions["streamy"]["default"].send_event("news", "for those who stay")
    assert [len(seen.events(1)) for seen in stay] == [1] * 7


def test_another_origins_pages_read_where_they_are_allowed(load: Load) -> None:
    client = load("another_origin").app.test_client()
    with client.session_transaction(base_url="https://api.example") as session:
        session["user"] = "ann"
    asked = {"Sec-Fetch-Site": "cross-site"}
    for path, origin in (("/events", "https://app.example"), ("/partners/events", "https://partner.example")):
        answer = client.get(path, base_url="https://api.example", headers={**asked, "Origin": origin})
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, origin)
        answer.close()
        other = {**asked, "Origin": "https://other.example"}
        assert client.get(path, base_url="https://api.example", headers=other).status_code == 403


def test_the_inbox_takes_events_from_those_who_may(
    load: Load, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBLISH_TOKEN", "secret")
    app = load("inbox").app
    client, seen = app.test_client(), connect(app, "/stream")
    assert client.post("/publish/orders", json={"order": 1}).status_code == 403
    headers = {"Authorization": "Bearer secret", "Idempotency-Key": "order-1"}
    first = client.post("/publish/orders", json={"order": 1}, headers=headers).text
    assert client.post("/publish/orders", json={"order": 1}, headers=headers).text == first
    (event,) = seen.events(1)
    assert (event.last_event_id, json.loads(event.data)) == (first.strip(), {"order": 1})


@pytest.fixture
def manager() -> StreamManager:
    return StreamManager()


def test_a_job_is_followed_to_its_end(load: Load, manager: StreamManager) -> None:
    job = load("job")
    job.run(manager, "7", ["a", "b"])
    assert [json.loads(data) for data in job.follow(manager, "7")] == [
        {"done": 1, "row": "a"},
        {"done": 2, "row": "b"},
    ]
    with pytest.raises(StreamEnded):
        job.run(manager, "7", ["c"])
    manager.close()


def test_a_job_in_another_process_is_followed_by_a_shared_broker(load: Load, tmp_path: Path) -> None:
    job, make = load("job"), load("directory_broker").DirectoryBroker
    worker, follower = (StreamManager(broker=make(tmp_path)) for _ in range(2))
    job.run(worker, "7", ["a"])
    assert [json.loads(data) for data in job.follow(follower, "7")] == [{"done": 1, "row": "a"}]
    worker.close()
    follower.close()


def test_the_board_misses_nothing_between_page_and_stream(load: Load, connect: Connect) -> None:
    app = load("board").app
    client = app.test_client()
    state = client.get("/prices").json
    assert state["prices"]["tea"] == "3.00"
    client.put("/prices/tea", data={"price": "3.50"})
    (event,) = connect(app, f"/stream?last_event_id={state['cursor']}").events(1)
    assert json.loads(event.data)["price"] == "3.50"
    assert client.get("/prices").json["prices"]["tea"] == "3.50"


@pytest.mark.slow
def test_the_boards_page_shows_what_is_and_what_changes(gunicorn: Serve, browser_page: BrowserPage) -> None:
    address = gunicorn("board:app")
    browser_page.goto(address)
    browser_page.wait_for_selector("li:text-is('tea: 3.00')")
    change = urllib.request.Request(f"{address}/prices/tea", b"price=3.50", method="PUT")
    with urllib.request.urlopen(change):
        browser_page.wait_for_selector("li:text-is('tea: 3.50')")


def test_one_connection_reads_many_streams(load: Load, connect: Connect) -> None:
    many = load("many")
    seen = connect(many.app, "/users/42/stream")
    with many.app.app_context():
        many.publish_news("hello")
        (first,) = seen.events(1)
        many.notify(43, text="not yours")
        many.notify(42, text="yours")
    again = connect(many.app, "/users/42/stream", last_event_id=first.last_event_id)
    assert first.type == "news"
    for client in (seen, again):
        (notice,) = client.events(1)
        assert (notice.type, json.loads(notice.data)) == ("notice", {"text": "yours"})


def test_a_notice_comes_to_each_of_many_users(load: Load, connect: Connect) -> None:
    notices = load("notices")
    clients = [connect(notices.app, f"/users/{user}/stream") for user in (1, 2)]
    with notices.app.app_context():
        notices.sse.end_stream("user:3")
        assert notices.notify([1, 2, 3], "tea is ready") == 2
    for client in clients:
        (notice,) = client.events(1)
        assert (notice.type, json.loads(notice.data)) == ("notice", {"text": "tea is ready"})


def test_the_page_on_scale_has_what_its_script_tells(load: Load) -> None:
    scale = load("scale")
    told = scale.report(scale.Load(), scale.Costs())
    assert (DOCS / "examples" / "scale.txt").read_text("utf-8") == f"{told}\n"


def test_more_clients_need_more_and_all_of_a_lost_zone_come_back(load: Load) -> None:
    scale = load("scale")
    costs, before = scale.Costs(), None
    for clients in (1_000, 100_000, 1_000_000, 10_000_000):
        plan = scale.Plan.of(scale.Load(clients=clients), costs)
        seconds = list(scale.zone_lost(plan, costs))
        assert seconds[-1].away < 1
        lost = max(1, plan.workers // 3) * plan.clients_a_worker
        assert sum(second.came for second in seconds) == pytest.approx(lost, rel=0.01)
        if before is not None:
            assert plan.workers >= before.workers
            assert plan.hot_stream_rate <= before.hot_stream_rate
        before = plan


def test_the_strategies_are_taken(load: Load) -> None:
    example = load("strategies")
    settings = example.sse.binding.settings
    assert settings.slow_client_policy == SkipToLatest(entries=50, seconds=10.0)
    assert settings.keep_alive == Jittered(20.0, spread=0.3)
    assert (settings.retry.retries, settings.max_connections) == (5, 8_000)
    mine = StreamManager(slow_client_policy=example.OnlyIfStuck())
    policy = mine.binding.settings.slow_client_policy
    assert policy.decide(Lag(entries=None, bytes=1, stalled=59.0)) is Verdict.WAIT
    assert policy.decide(Lag(entries=1, bytes=1, stalled=61.0)) is Verdict.DISCONNECT
    mine.close()


def test_watching_tells_health_and_notes_clients(
    load: Load, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "shop.streams")
    example = load("watching")
    with example.app.test_request_context(headers={"Last-Event-ID": "nobody's"}):
        response = example.sse.get_stream("news", key="ann")
    body = iter(response.response)
    assert b"streamy.gap" in next(body)
    health = example.app.test_client().get("/health")
    assert (health.status_code, health.json["failing"], health.json["clients"]) == (200, False, 1)
    response.close()
    noted = [record.getMessage() for record in caplog.records if record.name == "shop.streams"]
    assert noted[0].startswith("entries of news after nobody's are lost: unknown")
    assert noted[1:] == ["ann connected (wsgi)", "ann disconnected: gone"]


def test_the_observer_counts_what_happens(load: Load, connect: Connect) -> None:
    app = load("observing").app
    client = app.test_client()
    client.post("/send", data={"text": "one"})
    seen = connect(app, "/stream", last_event_id="nobody's")
    assert [event.type for event in seen.events(2)] == [GAP, "message"]
    seen.close()
    counted = client.get("/metrics").text
    assert counted.startswith("# TYPE streamy_total counter\n")
    lines = counted.splitlines()
    for what in ("published stored", "connected wsgi", "disconnected gone", "gap unknown"):
        assert f'streamy_total{{what="{what}"}} 1' in lines
    assert any(line.startswith('streamy_total{what="bytes wsgi"} ') for line in lines)


def test_an_observer_is_found_by_its_name(load: Load) -> None:
    example = load("observing")
    with StreamManager(observers=["observing:Counts"]) as sse:
        sse.send_event("news", "x")
        (observer,) = sse.binding.settings.observers
        assert isinstance(observer, example.Counts)
        assert observer.text().endswith('streamy_total{what="published stored"} 1\n')


@pytest.mark.slow
def test_the_directory_brokers_own_tests_pass_as_they_are(docs: Path, tmp_path: Path) -> None:
    for name in ("directory_broker.py", "test_directory_broker.py", "test_directory_histories.py"):
        (tmp_path / name).write_bytes((docs / "examples" / name).read_bytes())
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "--rootdir", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed[1]) > 50


def test_the_directory_brokers_plug_in_is_declared(docs: Path) -> None:
    declared = tomllib.loads((docs / "examples" / "directory_broker.toml").read_text("utf-8"))
    assert declared["project"]["version"]
    assert declared["project"]["entry-points"]["streamy"] == {"directory": "directory_broker"}
    modules = declared["tool"]["setuptools"]["py-modules"]
    assert [name for name in modules if not (docs / "examples" / f"{name}.py").exists()] == []


@pytest.mark.parametrize(
    ("query", "options"), [("?history=2", {}), ("?history=9", {"history": 2}), ("", {"history": "2"})]
)
def test_the_directory_broker_takes_its_options_from_the_url_too(
    load: Load, tmp_path: Path, query: str, options: dict[str, object]
) -> None:
    with load("directory_broker").from_url(f"directory://{tmp_path}{query}", options) as broker:
        broker.append("news", [Event(data) for data in "abc"])
        assert [entry.event.data for entry in broker.read({"news": OLDEST}, 9)["news"].entries] == ["b", "c"]


@pytest.mark.parametrize("query", ["histroy=2", "history=x", "history=", "history=0"])
def test_the_directory_broker_refuses_options_in_the_url(load: Load, tmp_path: Path, query: str) -> None:
    with pytest.raises(ConfigError, match="history"):
        load("directory_broker").from_url(f"directory://{tmp_path}?{query}", {})


def test_the_directory_broker_is_found_and_opened(load: Load, tmp_path: Path) -> None:
    load("directory_broker")
    backends = find_backends([EntryPoint("directory", "directory_broker", "streamy")])
    assert [(backend.scheme, backend.problem) for backend in backends] == [("directory", None)]
    url = f"directory://{tmp_path}"
    with open_broker(url, {"history": 3}, backends=backends) as broker:
        sse = StreamManager(broker=broker)
        sse.send_events("news", ["a", "b", "c", "d"])
        with sse.subscribe("news", after=OLDEST) as entries:
            assert [entry.event.data for entry in islice(entries, 3)] == ["b", "c", "d"]
        sse.close()
    with pytest.raises(ConfigError, match="did you mean 'history'"):
        open_broker(url, {"histroy": 3}, backends=backends)


def test_the_directory_brokers_bell_wakes_another_manager(load: Load, tmp_path: Path) -> None:
    make = load("directory_broker").DirectoryBroker
    here, there = (StreamManager(broker=make(tmp_path)) for _ in range(2))
    with here.subscribe("news") as entries:
        there.send_event("news", "a")
        entry = entries.next(timeout=10.0)
    assert entry is not None
    assert entry.event.data == "a"
    here.close()
    there.close()


def test_a_view_whose_database_fails_has_only_streams_come_back(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/orders.db")
    app = load("come_back_later").app  # whose table hasn't been made
    app.config["PROPAGATE_EXCEPTIONS"] = False
    client = app.test_client()
    assert client.get("/orders/1/stream", headers={"Accept": "text/html"}).status_code == 500
    response = client.get("/orders/1/stream", headers={"Accept": "text/event-stream"})
    assert (response.status_code, response.mimetype) == (200, "text/event-stream")
    assert response.data.startswith(b"retry: ")


def test_a_stream_that_never_was_is_not_found(
    load: Load, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/orders.db")
    example = load("come_back_later")
    assert example.app.test_client().get("/answers/undefined").status_code == 404
    example.sse.send_event("answer:7", "x")
    assert connect(example.app, "/answers/7").status == 200


def test_a_wall_shows_its_newest_notes_older_ones_and_what_comes(load: Load, connect: Connect) -> None:
    example = load("wall")
    client = example.app.test_client()
    example.sse.send_events("wall", [str(number) for number in range(50)])
    page = client.get("/wall").json
    older = client.get("/wall", query_string={"before": page["before"]}).json
    assert [entry["data"] for entry in older["entries"] + page["entries"]] == list(range(10, 50))
    live = connect(example.app, f"/wall/stream?last_event_id={page['cursor']}")
    newcomer = connect(example.app, "/wall/stream")
    example.sse.send_event("wall", "now")
    assert [event.data for event in live.events(1)] == ["now"]
    assert [event.data for event in newcomer.events(21)] == [*[str(n) for n in range(30, 50)], "now"]


@pytest.mark.slow
def test_the_walls_page_shows_the_newest_notes_older_ones_and_what_comes(
    gunicorn: Serve, browser_page: BrowserPage
) -> None:
    address = gunicorn("wall:app")

    def add(number: int) -> None:
        urllib.request.urlopen(f"{address}/notes", f"text=note {number}".encode()).close()

    def shown() -> list[str]:
        return browser_page.locator("#notes li").all_text_contents()

    for number in range(25):
        add(number)
    browser_page.goto(address)
    browser_page.wait_for_selector("li:text-is('note 24')")
    assert shown() == [f"note {number}" for number in range(5, 25)]
    browser_page.click("#older")
    browser_page.wait_for_selector("#older", state="hidden")
    browser_page.wait_for_selector("li:text-is('note 0')")
    add(25)
    browser_page.wait_for_selector("li:text-is('note 25')")
    assert shown() == [f"note {number}" for number in range(26)]


@pytest.mark.slow
def test_a_room_keeps_its_messages_and_shows_who_is_typing_to_those_who_are_there(
    gunicorn: Serve, browser_page: BrowserPage
) -> None:
    address = gunicorn("room:app")

    def post(path: str, form: str) -> None:
        urllib.request.urlopen(f"{address}/{path}", form.encode()).close()

    post("messages", "text=hello")
    browser_page.goto(address)
    browser_page.wait_for_selector("li:text-is('hello')")
    post("typing", "who=Ann")
    browser_page.wait_for_selector("#typing:text-is('Ann is typing …')")
    browser_page.wait_for_function("document.getElementById('typing').textContent === ''")
    post("messages", "text=there")
    browser_page.wait_for_selector("li:text-is('there')")


def test_who_was_typing_is_not_told_to_who_comes_later(load: Load, connect: Connect) -> None:
    example = load("room")
    example.sse.send_event("room:typing", {"who": "Ann"}, "typing", expires=0)
    example.sse.send_event("room", "hello")
    asking = connect(example.app, "/stream", headers={"Accept": "text/event-stream;streams=1"})
    example.app.test_client().post("/typing", data={"who": "Eve"})
    assert [(event.type, event.data) for event in asking.events(2)] == [
        ("message", "hello"),
        ("typing", '{"who": "Eve"}'),
    ]


def test_alarms_and_answers_begin_where_their_views_say(load: Load, connect: Connect) -> None:
    example = load("wall")
    for stream in ("alarms", "answer:7"):
        example.sse.send_event(stream, "first")
    for path in ("/alarms/stream", "/answers/7/stream"):
        assert [event.data for event in connect(example.app, path).events(1)] == ["first"]


def test_orders_and_the_log_are_published_soon(load: Load, connect: Connect) -> None:
    app = load("soon").app
    client = app.test_client()
    assert client.get("/log").status_code == 403
    orders = connect(app, "/orders/stream")
    log = connect(app, "/log", headers={"X-User": "ann"})
    assert client.post("/orders", data={"item": "tea"}).text == "taken\n"
    (created,) = orders.events(1)
    assert (created.type, json.loads(created.data)) == ("created", {"item": "tea"})
    (line,) = log.events(1)
    assert line.type == "line"
    assert line.data.endswith("INFO shop: ordered: tea")
    assert client.get("/health").json == {"queued": 0, "dropped": 0}
