"""The live page in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

import pytest

from streamy_core.testing.reading import eventually

from ..support.raw_client import RawClient
from .conftest import Shop

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

HOSTILE: Final = '<img src=x onerror="document.title=1">\u202e' + "x" * 210
WITHIN: Final = 12.0


@pytest.fixture
def shop(start: Callable[..., Shop]) -> Shop:
    return start(OVERVIEW="loopback")


@pytest.fixture
def page(shop: Shop, context: BrowserContext) -> Page:
    """The live page. Nothing has failed there when this test is over."""
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{shop.port}/streamy/")
    return page


def reader(shop: Shop, stream: str) -> RawClient:
    client = RawClient(shop.address, f"/events?{urlencode({'ids': stream})}")
    client.read_head()
    return client


def shows(page: Page, selector: str, text: str) -> None:
    eventually(lambda: text in (page.text_content(selector) or ""), f"{selector} has {text!r}", within=WITHIN)


def wrong_in(page: Page) -> list[str]:
    """What goes wrong from now on."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    return found


def test_it_draws_who_is_there_and_what_is_wrong_and_hostile_names_stay_text(shop: Shop, page: Page) -> None:
    wrong = wrong_in(page)
    shows(page, "#link", "live")
    shows(page, "#banner", "The process is ready")
    with reader(shop, HOSTILE), reader(shop, HOSTILE):
        shows(page, "#tiles article:nth-child(1) output", "2")
        shows(page, "#streams tbody", HOSTILE)
        page.click("#streams tbody button")
        shows(page, "#stream h3", HOSTILE)
        shows(page, "#stream p", "nothing was ever published to it")
        assert page.evaluate("document.images.length") == 0
        too_wide = "document.documentElement.scrollWidth > innerWidth"
        for width in (1360, 390):
            page.set_viewport_size({"width": width, "height": 844})
            assert not page.evaluate(too_wide), f"it is wider than {width} pixels"
    assert not wrong
    shop.stop()
    shows(page, "#link", "connection lost, trying again")


def test_a_run_is_listed_and_stopped_after_a_question(shop: Shop, page: Page) -> None:
    wrong = wrong_in(page)
    shows(page, "#banner", "The process is ready")
    assert page.is_hidden("#runs-panel")
    shop.post(f"/run/{quote(HOSTILE)}")
    shows(page, "#runs tbody", HOSTILE)
    page.click("#runs tbody button >> nth=0")
    shows(page, "#stream h3", HOSTILE)
    for width in (1360, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth"), f"wider than {width}"
    page.click("text=Stop …")
    page.click("#confirm >> text=Cancel")
    assert page.is_visible("#runs-panel")
    page.click("text=Stop …")
    page.click("#yes")
    shows(page, "#happened", "was told to stop")
    eventually(lambda: page.is_hidden("#runs-panel"), "none goes on", within=WITHIN)
    assert not wrong


def test_a_stream_is_followed_gets_a_test_event_and_a_key_is_disconnected(shop: Shop, page: Page) -> None:
    wrong = wrong_in(page)
    shop.send("a secret", stream="news:1")
    page.fill("#name", "ews:")
    page.press("#name", "Enter")
    page.click("#found li button")
    shows(page, "#stream .entries tbody", "10 B")
    page.click("text=Follow")
    shows(page, "#stream .row", "Stop following")
    shop.send("another", stream="news:1")
    shows(page, "#stream p", "1 since you look")
    page.click("text=Send a test event")
    page.click("#confirm >> text=Cancel")
    page.click("text=Send a test event")
    page.click("#yes")
    shows(page, "#stream .entries tbody tr:first-child", "test")
    shows(page, "#stream p", "2 since you look")
    assert "secret" not in (page.text_content("body") or "")
    page.fill("#key", "ann")
    page.press("#key", "Enter")
    page.click("#yes")
    shows(page, "#disconnected", "were told to leave")
    assert not wrong
