"""A stream for the pages of another origin: read with cookies where that is allowed, refused where it isn't.

The page is at http://localhost and the stream at http://127.0.0.1, which are two sites to a browser.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from streamy_core.testing.reading import eventually

from ..support.browser import ARGUMENTS, CHROMIUM
from .conftest import Shop

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(110)]

Start = Callable[..., Shop]

COOKIES = {"profile": {"block_third_party_cookies": False, "cookie_controls_mode": 0}}


@pytest.fixture
def context(browser: Browser, tmp_path: Path) -> Iterator[BrowserContext]:
    """A fresh profile that sends cookies to other sites: chromium has to be told that."""
    preferences = tmp_path / "profile" / "Default" / "Preferences"
    preferences.parent.mkdir(parents=True)
    preferences.write_text(json.dumps(COOKIES))
    context = browser.browser_type.launch_persistent_context(
        tmp_path / "profile", executable_path=CHROMIUM, args=ARGUMENTS
    )
    yield context
    context.close()


class Abroad:
    """A page's server, and that of its streams."""

    def __init__(self, start: Start, context: BrowserContext, *, allows: bool) -> None:
        self.pages = start()
        origins = [f"http://localhost:{self.pages.port}"] if allows else []
        self.shop = start(ALLOW_ORIGINS=json.dumps(origins))
        self._context = context
        cookie = {"name": "member", "value": "yes", "domain": "127.0.0.1", "path": "/"}
        context.add_cookies([{**cookie, "secure": True, "sameSite": "None"}])  # type: ignore[typeddict-item]

    def visit(self, path: str, query: str = "") -> Page:
        page = self._context.new_page()
        stream = f"http://127.0.0.1:{self.shop.port}"
        page.goto(f"http://localhost:{self.pages.port}{path}?abroad={stream}{query}")
        return page

    def answers(self, method: str = "GET") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.shop.ask("/answers"))
        return [answer for answer in found if answer["method"] == method]


def states(page: Page) -> list[str]:
    found: list[str] = page.evaluate("window.seen?.states ?? []")
    return found


def has(page: Page, *events: int) -> None:
    eventually(lambda: len(page.evaluate("seen.events")) >= len(events), f"{len(events)} events")
    assert page.evaluate("seen.events") == list(events)


def assert_goes_on(page: Page, shop: Shop) -> None:
    """It is live, and behind a cut, too."""
    eventually(lambda: "live" in states(page), "the page is live")
    shop.send(1)
    has(page, 1)
    shop.post("/cut?stream=news")
    shop.send(2)
    has(page, 1, 2)


@pytest.mark.parametrize("path", ["/", "/native"], ids=["streamy.js", "EventSource"])
def test_a_page_that_is_allowed_reads_with_its_cookie_and_goes_on(
    start: Start, context: BrowserContext, path: str
) -> None:
    abroad = Abroad(start, context, allows=True)
    assert_goes_on(abroad.visit(path), abroad.shop)
    first, *_ = answers = abroad.answers()
    assert first == {"method": "GET", "status": 200, "site": "cross-site", "cookie": "yes", "bearer": None}
    assert len(answers) >= 2


def test_a_page_that_needs_a_preflight_goes_on_too(start: Start, context: BrowserContext) -> None:
    abroad = Abroad(start, context, allows=True)
    page = abroad.visit("/", "&bearer")
    assert_goes_on(page, abroad.shop)
    assert {answer["status"] for answer in abroad.answers("OPTIONS")} == {204}
    assert {(answer["cookie"], answer["bearer"]) for answer in abroad.answers()} == {("yes", "Bearer x")}
    status = page.evaluate(
        """async (url) => {
            const headers = { "Last-Event-ID": "x" };
            const controller = new AbortController();
            const { signal } = controller;
            const { status } = await fetch(url, { headers, credentials: "include", signal });
            controller.abort();
            return status;
        }""",
        f"http://127.0.0.1:{abroad.shop.port}/events?ids=news",
    )
    assert status == 200


@pytest.fixture
def strict(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile that keeps cookies of other sites apart, as chromium does by itself."""
    context = browser.new_context()
    yield context
    context.close()


def test_a_grant_in_a_cookie_is_renewed_from_another_site_and_nothing_is_lost(
    start: Start, strict: BrowserContext
) -> None:
    abroad = Abroad(start, strict, allows=True)
    page = abroad.visit("/", "&cookie=2")
    eventually(lambda: "live" in states(page), "the page is live")
    published = 0
    while int(abroad.shop.ask("/renewed")) < 4:
        published += 1
        abroad.shop.send(published)
        time.sleep(0.02)
    has(page, *range(1, published + 1))
    assert {answer["site"] for answer in abroad.answers()} == {"cross-site"}


def test_without_its_cookie_a_page_of_another_site_is_refused(start: Start, strict: BrowserContext) -> None:
    abroad = Abroad(start, strict, allows=True)
    page = abroad.visit("/", "&cookie=0")
    eventually(lambda: "refused" in states(page), "it is refused")
    assert {answer["status"] for answer in abroad.answers()} == {403}


def test_a_page_that_is_not_allowed_reads_nothing(start: Start, context: BrowserContext) -> None:
    abroad = Abroad(start, context, allows=False)
    page = abroad.visit("/")
    eventually(lambda: "waiting" in states(page), "it isn't let in")
    assert "live" not in states(page)
    assert {(answer["status"], answer["cookie"]) for answer in abroad.answers()} == {(403, "yes")}


def test_an_eventsource_that_is_not_allowed_gives_up(start: Start, context: BrowserContext) -> None:
    abroad = Abroad(start, context, allows=False)
    page = abroad.visit("/native")
    eventually(lambda: "closed" in states(page), "it has given up")
    (answer,) = abroad.answers()
    assert (answer["status"], answer["site"], answer["cookie"]) == (403, "cross-site", "yes")


def test_pages_of_the_stream_s_own_origin_read_as_always(start: Start, context: BrowserContext) -> None:
    abroad = Abroad(start, context, allows=False)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{abroad.shop.port}/native")
    eventually(lambda: "live" in states(page), "the page is live")
    abroad.shop.send(1)
    has(page, 1)
    (answer,) = abroad.answers()
    assert (answer["status"], answer["site"], answer["cookie"]) == (200, "same-origin", "yes")
