"""The guide on grants: who was given a right reads by it, and nobody else, with one app and with two."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator
from http import HTTPStatus
from http.cookiejar import CookieJar
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, build_opener, urlopen

import pytest

from streamy_core.testing.reading import DEADLINE, eventually

from ..support.certificates import make_certificate
from ..support.nginx import Nginx
from .reader import Reader
from .test_authorize import sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page as BrowserPage

    from .conftest import Connect, Load, Serve


@pytest.fixture
def grants(load: Load) -> ModuleType:
    return load("grants")


def url_in(page: str) -> str:
    """What a page connects to."""
    found = re.search(r'connect\(("[^"]+")', page)
    assert found, page
    return str(json.loads(found[1]))


def url_for_ann(grants: ModuleType, *, expires: float) -> str:
    with grants.app.test_request_context():
        return str(grants.sse.grant_url("stream", "room:tea", key="ann", expires=expires))


def test_a_page_reads_by_the_grant_that_it_was_rendered_with(grants: ModuleType, connect: Connect) -> None:
    ann, cookie = sign_in(grants.app, "ann")
    page = ann.get("/rooms/tea").text
    assert 'renew: "/rooms/tea/grant"' in page
    for url in (url_in(page), ann.get("/rooms/tea/grant").text):
        seen = connect(grants.app, url, headers=cookie)
        ann.post("/rooms/tea/messages", data={"text": "hello"})
        assert json.loads(seen.events(1)[0].data) == {"user": "ann", "text": "hello"}


def test_a_grant_is_for_the_user_that_it_was_given_to(grants: ModuleType) -> None:
    (ann, _), (bob, _), (eve, _) = (sign_in(grants.app, name) for name in ("ann", "bob", "eve"))
    url = ann.get("/rooms/tea/grant").text
    for client in (bob, eve, grants.app.test_client()):
        assert client.get(url).status_code == 403
    for path in ("/rooms/tea", "/rooms/tea/grant", "/rooms/tea/cookie", "/rooms/tea/cookie/renew"):
        assert eve.get(path).status_code == 403
        assert grants.app.test_client().get(path).status_code == 401
    assert ann.get("/stream").status_code == 403


def test_a_grant_that_has_expired_is_renewed_as_long_as_its_user_is_a_member(
    grants: ModuleType, connect: Connect
) -> None:
    ann, cookie = sign_in(grants.app, "ann")
    url = url_for_ann(grants, expires=0.001)
    eventually(lambda: ann.get(url, buffered=False).status_code == 401, "the grant has expired")
    assert connect(grants.app, ann.get("/rooms/tea/grant").text, headers=cookie).status == 200
    ann.post("/rooms/tea/leave")
    assert ann.get("/rooms/tea/grant").status_code == 403


def test_a_client_that_renews_nothing_comes_back_until_the_grant_has_expired(
    grants: ModuleType, connect: Connect
) -> None:
    ann, cookie = sign_in(grants.app, "ann")
    url = url_for_ann(grants, expires=1)
    seen = connect(grants.app, url, headers=cookie)
    seen.cut()
    grants.sse.send_event("room:tea", "meanwhile")
    seen.reconnect()
    assert [event.data for event in seen.events(1)] == ["meanwhile"]
    assert seen.read_to_end() == []
    eventually(lambda: ann.get(url, buffered=False).status_code == 401, "the grant has expired")


def test_who_leaves_is_disconnected_and_the_grant_is_void(grants: ModuleType, connect: Connect) -> None:
    (ann, anns), (bob, bobs) = sign_in(grants.app, "ann"), sign_in(grants.app, "bob")
    url, others = ann.get("/rooms/tea/grant").text, bob.get("/rooms/tea/grant").text
    seen = connect(grants.app, url, headers=anns)
    ann.post("/rooms/tea/leave")
    assert seen.read_to_end() == []
    assert ann.get(url).status_code == 403
    assert connect(grants.app, others, headers=bobs).status == 200


def test_a_cookie_carries_the_grant_for_a_url_without_one(grants: ModuleType, connect: Connect) -> None:
    ann, session = sign_in(grants.app, "ann")
    assert ann.get("/stream").status_code == 403
    for path in ("/rooms/tea/cookie", "/rooms/tea/cookie/renew"):
        given = ann.get(path).headers["Set-Cookie"].partition(";")[0]
        cookie = {"Cookie": f"{session['Cookie']}; {given}"}
        seen = connect(grants.app, "/stream", headers=cookie)
        grants.sse.send_event("room:tea", "hello")
        assert [event.data for event in seen.events(1)] == ["hello"]
        nobody = grants.app.test_client(use_cookies=False)
        assert nobody.get("/stream", headers={"Cookie": given}).status_code == 403
    assert url_in(ann.get("/rooms/tea/cookie").text) == "/stream"


def test_a_new_secret_key_voids_all_grants_once_it_has_no_fallback(
    grants: ModuleType, connect: Connect
) -> None:
    url = sign_in(grants.app, "ann")[0].get("/rooms/tea/grant").text
    grants.app.config.update(SECRET_KEY="the new one", SECRET_KEY_FALLBACKS=["change me"])
    ann, cookie = sign_in(grants.app, "ann")
    assert connect(grants.app, url, headers=cookie).status == 200
    grants.app.config["SECRET_KEY_FALLBACKS"] = []
    assert ann.get(url).status_code == 403
    assert connect(grants.app, ann.get("/rooms/tea/grant").text, headers=cookie).status == 200


@pytest.mark.slow
def test_a_page_that_has_lost_its_right_says_refused(gunicorn: Serve, browser_page: BrowserPage) -> None:
    browser_page.goto(gunicorn("grants:app"))
    browser_page.fill("[name=user]", "ann")
    browser_page.fill("[name=password]", "ann's password")
    browser_page.click("text=Sign in")
    browser_page.wait_for_selector("#state:text-is('live')")
    browser_page.fill("[name=text]", "hello")
    browser_page.click("text=Send")
    browser_page.wait_for_selector("li:text-is('ann: hello')")
    browser_page.evaluate("fetch('/rooms/tea/leave', { method: 'POST', redirect: 'manual' })")
    browser_page.wait_for_selector("#state:text-is('refused')")


class Apps(NamedTuple):
    """Two apps behind nginx. logs: of all three."""

    url: str
    folder: Path

    @property
    def logs(self) -> str:
        return "".join((self.folder / name).read_text("utf-8") for name in ("log", "access.log"))


@pytest.fixture
def apps(gunicorn: Serve, tmp_path: Path) -> Iterator[Apps]:
    broker = f"sqlite:///{tmp_path}/streams.db"
    environment = {"SECRET_KEY": "of both", "STREAMY_BROKER_URL": broker, "PYTHONDONTWRITEBYTECODE": 1}
    main, streaming = (
        gunicorn(f"two_apps.{name}:app", options=["-c", "grants_gunicorn.py"], environment=environment)
        for name in ("main", "streaming")
    )
    ports = [int(address.rpartition(":")[2]) for address in (main, streaming)]
    upstream, streams = (("127.0.0.1", port) for port in ports)
    with Nginx(tmp_path, upstream, make_certificate(tmp_path), streaming=streams).start() as nginx:
        yield Apps(f"http://127.0.0.1:{nginx.plain[1]}", tmp_path)


class Browser:
    """Asks with the cookies that it was given."""

    def __init__(self, url: str, user: str) -> None:
        self.url = url
        self._opener = build_opener(HTTPCookieProcessor(CookieJar()))
        self.ask("/sign-in", user=user, password=f"{user}'s password")

    def ask(self, path: str, **form: str) -> str:
        data = urllib.parse.urlencode(form).encode() if form else None
        try:
            with self._opener.open(self.url + path, data, DEADLINE) as answer:
                return str(answer.read().decode())
        except HTTPError as error:
            return str(error.code)


def status(url: str) -> int:
    try:
        with urlopen(url, timeout=DEADLINE) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


@pytest.mark.slow
def test_a_streaming_app_trusts_the_grants_of_a_main_app(apps: Apps) -> None:
    ann, eve = Browser(apps.url, "ann"), Browser(apps.url, "eve")
    assert eve.ask("/rooms/tea") == eve.ask("/rooms/tea/grant") == str(HTTPStatus.FORBIDDEN.value)
    url = url_in(ann.ask("/rooms/tea"))
    assert url.startswith("/live?grant=")
    assert status(f"{apps.url}/live") == status(f"{apps.url}{url}x") == HTTPStatus.FORBIDDEN
    with Reader(apps.url + url) as seen, Reader(apps.url + ann.ask("/rooms/tea/grant")) as again:
        eventually(lambda: seen.status == again.status == HTTPStatus.OK, "both streams are open")
        ann.ask("/rooms/tea/messages", text="hello")
        for reader in (seen, again):
            assert reader.events(1) == [("message", {"user": "ann", "text": "hello"})]
        ann.ask("/rooms/tea/leave", really="yes")
        eventually(lambda: seen.ended and again.ended, "the clients of the other app are disconnected")
    assert status(apps.url + url) == HTTPStatus.FORBIDDEN
    signature = url.rpartition(".")[2]
    assert '"GET /live HTTP' in apps.logs
    assert "grant=" not in apps.logs
    assert signature not in apps.logs
