"""Pages that come back: by the history, with another right, and from another origin.

TEST_RENEWALS: how often a grant is renewed; 60 are ten hours of grants for ten minutes, at another pace.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from streamy_core.testing.reading import eventually

from ..support.browser import ARGUMENTS, CHROMIUM
from ..support.proxy import Proxy
from .conftest import Shop

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(110)]

Visit = Callable[..., "Page"]

RENEWALS = int(os.environ.get("TEST_RENEWALS", "8"))


def live(page: Page) -> None:
    eventually(lambda: page.evaluate("window.stream?.state") == "live", "the page is live")


def has(page: Page, *events: int) -> None:
    eventually(lambda: len(page.evaluate("seen.events")) >= len(events), f"{len(events)} events")
    assert page.evaluate("seen.events") == list(events)


@pytest.fixture
def remembering(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that keeps pages one has left, as browsers do, but for those that are driven."""
    another = browser.browser_type.launch(
        executable_path=CHROMIUM,
        args=ARGUMENTS,
        ignore_default_args=["--disable-back-forward-cache"],
    )
    yield another.new_context()
    another.close()


@pytest.mark.parametrize("share", ["", "share"], ids=["alone", "shared"])
def test_a_page_that_one_goes_back_to_has_what_came_meanwhile(
    shop: Shop, remembering: BrowserContext, share: str
) -> None:
    page = remembering.new_page()
    page.goto(f"http://127.0.0.1:{shop.port}/?{share}")
    live(page)
    page.evaluate("addEventListener('pageshow', ({ persisted }) => (seen.persisted = persisted))")
    shop.send(1)
    has(page, 1)
    page.goto(f"http://127.0.0.1:{shop.port}/hello")
    eventually(lambda: shop.asked()["clients"] == 0, "nobody reads")
    shop.send(2)
    page.go_back(wait_until="commit")
    assert page.evaluate("seen.persisted") is True, "it is the page that was left"
    has(page, 1, 2)
    shop.send(3)
    has(page, 1, 2, 3)


def test_a_right_that_is_renewed_goes_on_at_the_same_place(shop: Shop, visit: Visit) -> None:
    page = visit(shop.port, "renew")
    live(page)
    shop.send(1)
    has(page, 1)
    shop.post("/mode/401")
    shop.post("/cut?stream=news")
    shop.send(2, 3)
    has(page, 1, 2, 3)
    assert page.evaluate("seen.renewed") == 401
    assert "refused" not in page.evaluate("seen.states")


def test_a_page_outlives_many_grants_and_loses_nothing(shop: Shop, visit: Visit) -> None:
    page = visit(shop.port, "grant=1.5")
    live(page)
    published = 0
    while page.evaluate("seen.renewals") < RENEWALS:
        published += 1
        shop.send(published)
        time.sleep(0.02)
    has(page, *range(1, published + 1))
    statuses = page.evaluate("seen.statuses")
    assert statuses.count(0) > len(statuses) / 2, "most are renewed before they end"
    assert "refused" not in page.evaluate("seen.states")


def test_tabs_with_grants_of_their_own_share_by_a_name(shop: Shop, visit: Visit) -> None:
    pages = [visit(shop.port, "grant=60&share=news") for _ in range(3)]
    for page in pages:
        live(page)
    eventually(lambda: shop.asked()["clients"] == 1, "one connection")
    shop.send(1)
    for page in pages:
        has(page, 1)


@pytest.fixture
def abroad(shop: Shop) -> Iterator[str]:
    """Another origin by which the same server can be reached, and where cookies go, too."""
    with Proxy(shop.address) as proxy:
        yield f"http://127.0.0.1:{proxy.port}"


@pytest.mark.parametrize("share", ["", "&share"], ids=["alone", "shared"])
def test_a_stream_of_another_origin_is_read_with_cookies_and_goes_on(
    shop: Shop, visit: Visit, context: BrowserContext, abroad: str, share: str
) -> None:
    context.add_cookies([{"name": "member", "value": "yes", "domain": "127.0.0.1", "path": "/"}])
    shop.post("/mode/members")
    page = visit(shop.port, f"abroad={abroad}{share}")
    live(page)
    shop.send(1)
    has(page, 1)
    shop.post("/cut?stream=news")
    shop.send(2)
    has(page, 1, 2)


def test_without_a_cookie_another_origin_refuses(shop: Shop, visit: Visit, abroad: str) -> None:
    shop.post("/mode/members")
    page = visit(shop.port, f"abroad={abroad}")
    eventually(lambda: "waiting" in page.evaluate("window.seen?.states ?? []"), "it isn't let in")
    assert "live" not in page.evaluate("seen.states")
