"""streamy.js in a real browser, through all that passes and all that doesn't.

TEST_CUTS: how often the page with a counter is cut off; 200 were tried, and its number was right within a
second each time. TEST_PATIENCE: seconds that it may take.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from streamy_core.testing.reading import eventually

from ..support.proxy import Proxy
from .conftest import Shop

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(110)]

CUTS = int(os.environ.get("TEST_CUTS", "20"))
PATIENCE = float(os.environ.get("TEST_PATIENCE", "3"))

Visit = Callable[..., "Page"]


def seen(page: Page, what: str) -> Any:
    return page.evaluate(f"window.seen?.{what}")


def reasons(page: Page) -> list[str]:
    """Why it was not live, each time."""
    found: list[str] = page.evaluate("seen.whys.filter((why) => why).map(({ reason }) => reason)")
    return found


def has_state(page: Page, state: str) -> None:
    eventually(lambda: page.evaluate("window.stream?.state") == state, f"the page is {state}")


def live(page: Page) -> Page:
    """The page, once it is live."""
    has_state(page, "live")
    return page


def has(page: Page, *events: Any) -> None:
    eventually(lambda: len(seen(page, "events") or []) >= len(events), f"{len(events)} events")
    assert seen(page, "events") == list(events)


@pytest.mark.parametrize("fault", ["502", "503", "portal"])
def test_what_passes_costs_no_event(shop: Shop, visit: Visit, fault: str) -> None:
    page = live(visit(shop.port))
    shop.send(1)
    has(page, 1)
    shop.post(f"/mode/{fault}")
    shop.post("/cut?stream=news")
    has_state(page, "waiting")
    shop.send(2, 3)
    asked = shop.asked()["events"]
    eventually(lambda: shop.asked()["events"] >= asked + 2, "it has asked again, in vain")
    shop.post("/mode/ok")
    has(page, 1, 2, 3)
    has_state(page, "live")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_does_not_pass_is_said_and_asked_for_no_more(shop: Shop, visit: Visit, status: int) -> None:
    page = live(visit(shop.port))
    shop.post(f"/mode/{status}")
    shop.post("/cut?stream=news")
    has_state(page, "refused")
    asked = shop.asked()["events"]
    page.wait_for_timeout(1_500)
    assert shop.asked()["events"] == asked
    assert seen(page, "whys.at(-1)") == {"reason": "status", "status": status}


def test_an_end_is_said_and_asked_for_no_more(shop: Shop, visit: Visit) -> None:
    page = live(visit(shop.port))
    shop.send(1)
    shop.post("/end/news")
    has_state(page, "ended")
    has(page, 1)
    assert shop.asked()["events"] == 1
    late = visit(shop.port)
    has_state(late, "ended")


def test_a_connection_that_stands_still_is_noticed_and_made_anew(
    shop: Shop, proxy: Proxy, visit: Visit
) -> None:
    page = live(visit(proxy.port))
    proxy.freeze()
    shop.send(1)
    has_state(page, "waiting")
    assert seen(page, "whys.at(-1).reason") == "silent"
    proxy.cut()
    has(page, 1)


def test_a_machine_that_slept_comes_back_at_once(shop: Shop, proxy: Proxy, visit: Visit) -> None:
    page = live(visit(proxy.port))
    proxy.freeze()
    page.evaluate("(() => { const now = Date.now; Date.now = () => now() + 3_600_000; })()")
    shop.send(1)
    eventually(lambda: "silent" in reasons(page), "it has noticed")
    proxy.cut()
    has(page, 1)


def test_a_cut_before_the_first_event_loses_none(shop: Shop, proxy: Proxy, visit: Visit) -> None:
    page = live(visit(proxy.port))
    proxy.refuse()
    shop.send(1, 2)
    has_state(page, "waiting")
    proxy.resume()
    has(page, 1, 2)


def test_a_page_that_went_offline_comes_back_when_it_is_online(shop: Shop, visit: Visit) -> None:
    page = live(visit(shop.port))
    page.context.set_offline(True)
    shop.post("/cut?stream=news")
    has_state(page, "waiting")
    shop.send(1)
    page.context.set_offline(False)
    has(page, 1)


def test_nothing_falls_between_render_and_connect(shop: Shop, visit: Visit) -> None:
    def late(route: Any) -> None:
        shop.send("in between")
        route.continue_()

    tab = visit(shop.port, "stream=other")
    tab.route("**/events?*", late, times=1)
    tab.goto(f"http://127.0.0.1:{shop.port}/?cursor")
    has(tab, "in between")


@pytest.mark.timeout(120 + 3 * CUTS)
def test_with_load_the_pages_number_is_right_after_each_of_many_cuts(
    start: Callable[..., Shop], visit: Visit
) -> None:
    chance = random.Random(11)
    shop = start(BROKER_URL="memory://?history=10")
    late: list[float] = []
    with Proxy(shop.address) as proxy:
        page = visit(proxy.port, "load&stream=count")
        has_state(page, "live")
        shop.post(f"/count?seconds={2 * CUTS}")
        for _ in range(CUTS):
            page.wait_for_timeout(chance.uniform(0, 600))
            if chance.random() < 0.5:
                shop.post("/cut?stream=count")
            else:
                proxy.cut()
            page.wait_for_timeout(chance.uniform(0, 300))
            right = shop.count()
            began = time.monotonic()
            eventually(lambda right=right: seen(page, "value") >= right, "it is right", within=PATIENCE)
            late.append(time.monotonic() - began)
    print(f"{CUTS} cuts: right after {max(late):.2f} s at most, {sum(late) / CUTS:.2f} s on average")
    print({what: seen(page, what) for what in ("gaps", "loads")})
    assert seen(page, "events") == [], "no number was skipped or repeated without a load"
    assert seen(page, "gaps") >= 1
    assert seen(page, "loads") >= 2
