"""The guides on who may read: each example lets in who may, and nobody else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient

from streamy_core import GAP

if TYPE_CHECKING:
    from playwright.sync_api import Page as BrowserPage

    from .conftest import Connect, Load, Serve

STREAM = {"Accept": "text/event-stream"}

BUSY = 1.0
"""Seconds by which a machine that runs other tests may be late."""


def sign_in(app: Flask, user: str) -> tuple[FlaskClient, dict[str, str]]:
    """A client by which this user has signed in, and the header that says so."""
    client = app.test_client()
    form = {"user": user, "password": f"{user}'s password"}
    assert client.post("/sign-in", data=form).status_code == 302
    cookie = client.get_cookie("session")
    assert cookie
    return client, {"Cookie": f"session={cookie.value}"}


@pytest.mark.parametrize("name", ["members", "with_flask_login", "with_jwt", "grants", "private_rooms"])
def test_a_wrong_password_signs_nobody_in(
    name: str, load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEMBERS", f"{tmp_path}/members.db")
    monkeypatch.setenv("BROKER_URL", "memory://")
    client = load(name).app.test_client()
    for form in ({"user": "ann", "password": "x"}, {"user": "nobody", "password": "nobody's password"}):
        assert client.post("/sign-in", data=form).status_code == 403
        assert "session" not in client.get("/").headers.get("Set-Cookie", "")
    assert client.post("/sign-in").status_code == 400


def test_who_signs_in_reads_the_rooms_of_which_they_are_a_member(load: Load, connect: Connect) -> None:
    app = load("members").app
    client, cookie = sign_in(app, "ann")
    assert 'connect("/rooms/tea/stream"' in client.get("/").text
    seen = connect(app, "/rooms/tea/stream", headers=cookie)
    client.post("/rooms/tea/messages", data={"text": "hello"})
    assert json.loads(seen.events(1)[0].data) == {"user": "ann", "text": "hello"}
    eve, _ = sign_in(app, "eve")
    assert eve.get("/rooms/tea/stream").status_code == 403
    assert eve.post("/rooms/tea/messages", data={"text": "hello"}).status_code == 403


def test_who_signs_out_is_disconnected(load: Load, connect: Connect) -> None:
    app = load("members").app
    client, cookie = sign_in(app, "ann")
    seen = connect(app, "/rooms/tea/stream", headers=cookie)
    client.post("/sign-out")
    assert seen.read_to_end() == []
    assert client.get("/rooms/tea/stream").status_code == 401
    assert 'action="/sign-in"' in client.get("/").text


def test_flask_login_says_whose_stream_it_is(load: Load, connect: Connect) -> None:
    app = load("with_flask_login").app
    (ann, anns), (_, bobs) = sign_in(app, "ann"), sign_in(app, "bob")
    assert 'connect("/stream"' in ann.get("/").text
    seen, others = (connect(app, "/stream", headers=cookie) for cookie in (anns, bobs))
    ann.post("/notify")
    ann.post("/notify")
    told = [json.loads(event.data)["text"] for event in seen.events(4)]
    assert sorted(told) == ["ann has called"] * 2 + ["only you read this"] * 2
    assert [json.loads(event.data)["text"] for event in others.events(2)] == ["ann has called"] * 2
    ann.post("/sign-out")
    assert seen.read_to_end() == []
    assert ann.get("/stream", headers=STREAM).status_code == 401


def test_flask_login_sends_pages_to_the_form_and_refuses_streams(load: Load) -> None:
    client = load("with_flask_login").app.test_client()
    assert client.get("/").headers["Location"] == "/sign-in"
    assert "form" in client.get("/sign-in").text
    assert client.get("/stream", headers=STREAM).status_code == 401
    assert client.post("/notify").status_code == 302


Bearer = Callable[..., dict[str, str]]


@pytest.fixture
def notes(load: Load) -> ModuleType:
    return load("with_jwt")


@pytest.fixture
def bearer(notes: ModuleType) -> Bearer:
    """A header with a token that says this, beside what is needed; None: says nothing of it."""

    own: str = notes.app.config["JWT_KEY"]

    def make(*, key: str = own, algorithm: str = "HS256", **said: Any) -> dict[str, str]:
        now = int(time.time())
        claims = {"sub": "ann", "aud": "app", "auth_time": now, "exp": now + 60, **said}
        claims = {name: value for name, value in claims.items() if value is not None}
        return {"Authorization": f"Bearer {jwt.encode(claims, key, algorithm=algorithm)}"}

    return make


def test_a_token_reads_the_stream_of_its_user(notes: ModuleType, connect: Connect) -> None:
    client = notes.app.test_client()
    form = {"user": "ann", "password": "ann's password"}
    header = {"Authorization": f"Bearer {client.post('/sign-in', data=form).text}"}
    seen = connect(notes.app, "/stream", headers=header)
    client.post("/notes", data={"text": "hello"}, headers=header)
    assert [event.data for event in seen.events(1)] == ['{"text": "hello"}']
    fresh = {"Authorization": f"Bearer {client.post('/token', headers=header).text}"}
    assert connect(notes.app, "/stream", headers=fresh).status == 200


def test_any_other_token_is_refused_before_a_byte_of_the_stream(notes: ModuleType, bearer: Bearer) -> None:
    good = bearer()["Authorization"]
    refused = [
        {},
        {"Authorization": good.removeprefix("Bearer ")},
        {"Authorization": good.replace("Bearer", "Basic")},
        {"Authorization": good[:-2]},
        bearer(exp=int(time.time()) - 1),
        bearer(exp=None),
        bearer(sub=None),
        bearer(aud="another app"),
        bearer(key="somebody else's, of 32 bytes or more"),
        bearer(key="", algorithm="none"),
    ]
    client = notes.app.test_client()
    for header in refused:
        for method, path in (("GET", "/stream"), ("POST", "/token"), ("POST", "/notes")):
            response = client.open(path, method=method, headers=header)
            assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer"), header
    assert client.get("/stream", query_string={"token": good.split()[1]}).status_code == 401


def test_the_connection_ends_with_the_token(notes: ModuleType, bearer: Bearer, connect: Connect) -> None:
    ends = int(time.time()) + 2
    seen = connect(notes.app, "/stream", headers=bearer(exp=ends))
    assert seen.read_to_end() == []
    assert time.time() < ends + BUSY


def test_tokens_are_renewed_for_some_hours_after_the_sign_in(notes: ModuleType, bearer: Bearer) -> None:
    def renewed(**said: Any) -> int:
        return notes.app.test_client().post("/token", headers=bearer(**said)).status_code

    now = int(time.time())
    assert renewed(auth_time=now - notes.SIGNED_IN + 60) == 200
    assert renewed(auth_time=now - notes.SIGNED_IN - 60) == 403
    assert renewed(sub="somebody who is gone") == 403


@pytest.mark.slow
def test_a_page_outlives_its_tokens(gunicorn: Serve, browser_page: BrowserPage) -> None:
    environment = {"FLASK_JWT_SECONDS": 5, "FLASK_STREAMY_RECONNECT_DELAY": 0.1}
    address = gunicorn("with_jwt:app", environment={**environment, "PYTHONDONTWRITEBYTECODE": 1})
    used: list[str] = []

    def note(request: Any) -> None:
        if request.url.endswith("/stream"):
            used.append(request.headers["authorization"])

    browser_page.on("request", note)
    browser_page.goto(address)
    browser_page.fill("[name=user]", "ann")
    browser_page.fill("[name=password]", "ann's password")
    browser_page.click("text=Sign in")
    browser_page.wait_for_selector("#state:text-is('live')")
    with browser_page.expect_request(
        lambda request: request.url.endswith("/stream") and request.headers["authorization"] != used[0]
    ):
        pass
    browser_page.wait_for_selector("#state:text-is('live')")
    browser_page.fill("[name=text]", "still here")
    browser_page.click("text=Send")
    browser_page.wait_for_selector("li:text-is('still here')")
    assert len(set(used)) > 1


@pytest.fixture
def private(load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], ModuleType]:
    """The example of private rooms, with the broker of this URL."""

    def make(url: str) -> ModuleType:
        monkeypatch.setenv("MEMBERS", f"{tmp_path}/members.db")
        monkeypatch.setenv("BROKER_URL", url)
        return load("private_rooms")

    return make


@pytest.fixture(params=["memory://?history=40", "sqlite:///{}/rooms.db?history=40"], ids=["memory", "sqlite"])
def rooms(request: pytest.FixtureRequest, private: Callable[[str], ModuleType], tmp_path: Path) -> ModuleType:
    return private(request.param.format(tmp_path))


def texts(events: list[Any]) -> list[str]:
    return [GAP if event.type == GAP else json.loads(event.data)["text"] for event in events]


def test_a_member_reads_what_came_since_the_join_and_nothing_before(
    rooms: ModuleType, connect: Connect
) -> None:
    (ann, anns), (bob, bobs) = sign_in(rooms.app, "ann"), sign_in(rooms.app, "bob")
    assert ann.get("/rooms/tea/stream").status_code == 403
    ann.post("/rooms/tea/join")
    first = ann.post("/rooms/tea/messages", data={"text": "0"}).text
    bob.post("/rooms/tea/join")
    ann.post("/rooms/tea/messages", data={"text": "1"})
    for cookie, cursor, gets in (
        (anns, None, ["0", "1"]),
        (bobs, None, ["1"]),
        (bobs, first, ["1"]),
        (bobs, "nonsense", [GAP, "1"]),
    ):
        seen = connect(rooms.app, "/rooms/tea/stream", headers=cookie, last_event_id=cursor)
        assert texts(seen.events(len(gets))) == gets
    bob.post("/rooms/tea/join")
    assert texts(connect(rooms.app, "/rooms/tea/stream", headers=bobs).events(1)) == ["1"]


def test_an_older_cursor_is_told_of_a_gap_and_nothing_else(rooms: ModuleType, connect: Connect) -> None:
    (ann, _), (bob, bobs) = sign_in(rooms.app, "ann"), sign_in(rooms.app, "bob")
    ann.post("/rooms/tea/join")
    first, *_ = [ann.post("/rooms/tea/messages", data={"text": str(n)}).text for n in range(3)]
    bob.post("/rooms/tea/join")
    ann.post("/rooms/tea/messages", data={"text": "new"})
    seen = connect(rooms.app, "/rooms/tea/stream", headers=bobs, last_event_id=first)
    assert texts(seen.events(2)) == [GAP, "new"]


def test_who_leaves_and_comes_back_reads_from_then_on(rooms: ModuleType, connect: Connect) -> None:
    ann, cookie = sign_in(rooms.app, "ann")
    ann.post("/rooms/tea/join")
    seen = connect(rooms.app, "/rooms/tea/stream", headers=cookie)
    ann.post("/rooms/tea/leave")
    assert seen.read_to_end() == []
    assert ann.get("/rooms/tea/stream").status_code == ann.get("/rooms/tea").status_code == 403
    assert rooms.app.test_client().get("/rooms/tea/stream").status_code == 401
    rooms.sse.send_event("room:tea", {"text": "meanwhile"})
    ann.post("/rooms/tea/join")
    rooms.sse.send_event("room:tea", {"text": "after"})
    assert texts(connect(rooms.app, "/rooms/tea/stream", headers=cookie).events(1)) == ["after"]


def test_a_join_that_is_trimmed_withholds_nothing_that_is_left(rooms: ModuleType, connect: Connect) -> None:
    ann, cookie = sign_in(rooms.app, "ann")
    rooms.sse.send_event("room:tea", {"text": "before"})
    ann.post("/rooms/tea/join")
    rooms.sse.send_events("room:tea", [{"text": str(number)} for number in range(200)])
    seen = texts(connect(rooms.app, "/rooms/tea/stream", headers=cookie).events(41))
    assert seen[0] == GAP
    assert seen[1:] == [str(number) for number in range(int(seen[1]), int(seen[1]) + 40)]


def test_once_the_history_is_lost_a_new_cursor_makes_it_right(
    private: Callable[[str], ModuleType], connect: Connect, tmp_path: Path
) -> None:
    rooms = private(f"sqlite:///{tmp_path}/rooms.db")
    ann, cookie = sign_in(rooms.app, "ann")
    rooms.sse.send_event("room:tea", {"text": "before"})
    ann.post("/rooms/tea/join")
    run = rooms.app.test_cli_runner().invoke
    rooms.sse.broker.forget(0)

    def read() -> list[str]:
        seen = connect(rooms.app, "/rooms/tea/stream", headers=cookie)
        rooms.sse.send_event("room:tea", {"text": "now"})
        return texts(seen.events(2))

    rooms.sse.send_event("room:tea", {"text": "since the loss"})
    assert read() == [GAP, "now"]
    assert read() == [GAP, "now"]
    assert run(args=["begin-anew", "tea"]).exit_code == 0
    rooms.sse.send_event("room:tea", {"text": "kept"})
    assert read() == ["kept", "now"]
    assert read() == ["kept", "now"]


def test_the_page_of_a_private_room_is_for_its_members(private: Callable[[str], ModuleType]) -> None:
    app = private("memory://").app
    assert 'action="/sign-in"' in app.test_client().get("/").text
    ann, _ = sign_in(app, "ann")
    assert 'action="/rooms/tea/join"' in ann.get("/").text
    assert ann.get("/rooms/tea").status_code == 403
    assert ann.post("/rooms/tea/messages", data={"text": "x"}).status_code == 403
    assert 'connect("/rooms/tea/stream"' in ann.post("/rooms/tea/join", follow_redirects=True).text
