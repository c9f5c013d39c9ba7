"""Tabs that share a connection, over HTTP/1.1, whose browsers allow six to a host.

TEST_DEATHS: how often the leader dies, in each of four ways; TEST_TABS: of how many. Tried: 30, of 12.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from streamy_core.testing.reading import eventually

from .conftest import Shop

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(110)]

TABS = 12
SIBLINGS = int(os.environ.get("TEST_TABS", "4"))
PUBLISHED = 10
DEATHS = int(os.environ.get("TEST_DEATHS", "7"))

Visit = Callable[..., "Page"]

LEADS = """navigator.locks.request("mine", async () => {
  const { held } = await navigator.locks.query();
  const { clientId } = held.find(({ name }) => name === "mine");
  return held.some((lock) => lock.name.startsWith("streamy ") && lock.clientId === clientId);
})"""
"""Whether it is this tab that holds the connection's lock."""


def events(page: Page) -> list[Any]:
    found: list[Any] = page.evaluate("window.seen?.events ?? []")
    return found


def leader_of(pages: list[Page]) -> Page | None:
    """The tab that holds the connection's lock."""
    query = "navigator.locks.query().then(({ held }) => held.map(({ clientId }) => clientId))"
    held = pages[0].evaluate(query)
    own = "navigator.locks.request(crypto.randomUUID(), () => navigator.locks.query())"
    for page in pages:
        locks = page.evaluate(
            f"{own}.then(({{ held }}) => held.map(({{ name, clientId }}) => [name, clientId]))"
        )
        mine = next((client for name, client in locks if not name.startswith("streamy ")), None)
        if mine in held:
            return page
    return None


def gaps_of(pages: list[Page]) -> int:
    """The most that one of them was told of."""
    return max(page.evaluate("seen.gaps") for page in pages)


def alone(shop: Shop) -> bool:
    return shop.asked()["clients"] == 1


def test_twelve_tabs_have_one_connection_and_every_event_once(shop: Shop, visit: Visit) -> None:
    pages = [visit(shop.port, "share") for _ in range(TABS)]
    for page in pages:
        eventually(lambda page=page: page.evaluate("stream.state") == "live", "the tab is live")
    eventually(lambda: alone(shop), "one connection")
    shop.send(*range(100))
    for page in pages:
        eventually(lambda page=page: len(events(page)) >= 100, "all have come")
        assert events(page) == list(range(100))
    assert alone(shop)


def test_a_newcomer_begins_where_its_page_was_rendered(shop: Shop, visit: Visit) -> None:
    first = visit(shop.port, "share")
    eventually(lambda: alone(shop), "one connection")
    shop.send("before")

    def late(route: Any) -> None:
        shop.send("in between")
        route.continue_()

    other = visit(shop.port, "share&stream=other")
    eventually(lambda: shop.asked()["clients"] == 2, "another connection")
    other.route("**/streamy/*.js", late, times=1)
    other.goto(f"http://127.0.0.1:{shop.port}/?share&cursor")
    eventually(lambda: len(events(first)) == 2, "the first has both")
    shop.send("after")
    eventually(lambda: len(events(other)) >= 2, "the other has what came since")
    assert events(other) == ["in between", "after"]
    assert events(first) == ["before", "in between", "after"]
    eventually(lambda: alone(shop), "one connection")


def test_tabs_with_other_streams_have_a_connection_each(shop: Shop, visit: Visit) -> None:
    for name in ("one", "two"):
        visit(shop.port, f"share&stream={name}")
    eventually(lambda: shop.asked()["clients"] == 2, "two connections")


def die(how: str, page: Page) -> None:
    """Have the tab go: for good, or until it is thawed."""
    if how == "close":
        page.close()
    elif how == "leave":
        page.goto("about:blank")
    elif how == "crash":
        from playwright.sync_api import Error

        with suppress(Error):
            page.goto("chrome://crash", timeout=500)
    else:
        page.context.new_cdp_session(page).send("Page.setWebLifecycleState", {"state": "frozen"})


def has_all(page: Page, first: int, last: int) -> None:
    eventually(lambda: len(events(page)) >= last - first, "all in time", within=10)
    assert events(page) == list(range(first, last))


@contextmanager
def while_publishing(shop: Shop, first: int, chance: random.Random) -> Iterator[None]:
    """Publish ten numbers meanwhile, at random moments."""
    pauses = [chance.uniform(0, 0.06) for _ in range(PUBLISHED)]

    def publish() -> None:
        for number, pause in enumerate(pauses, first):
            time.sleep(pause)
            shop.send(number)

    publisher = threading.Thread(target=publish)
    publisher.start()
    yield
    publisher.join()


@pytest.mark.timeout(110 + 8 * DEATHS)
@pytest.mark.parametrize("how", ["close", "crash", "freeze", "leave"])
def test_a_leader_that_dies_costs_no_tab_an_event(shop: Shop, visit: Visit, how: str) -> None:
    chance = random.Random(7)
    began = {visit(shop.port, "share"): 0 for _ in range(SIBLINGS)}
    eventually(lambda: alone(shop), "one connection")
    sent = 0
    for _ in range(DEATHS):
        leader = leader_of(list(began))
        assert leader is not None
        with while_publishing(shop, sent, chance):
            time.sleep(chance.uniform(0, 0.3))
            die(how, leader)
        sent += PUBLISHED
        first = began.pop(leader)
        for page in began:
            has_all(page, began[page], sent)
        if how == "freeze":
            leader.context.new_cdp_session(leader).send("Page.setWebLifecycleState", {"state": "active"})
            has_all(leader, first, sent)
            leader.close()
        fresh = visit(shop.port, "share")
        eventually(lambda page=fresh: page.evaluate("stream.state") == "live", "the newcomer is live")
        began[fresh] = sent
        eventually(lambda: alone(shop), "one connection again")


def test_tabs_that_load_are_right_after_each_gap(start: Callable[..., Shop], visit: Visit) -> None:
    shop = start(BROKER_URL="memory://?history=10")
    shop.post("/count?seconds=40")
    pages = [visit(shop.port, "share&load&stream=count") for _ in range(4)]
    for number in range(60):
        if number >= 12 and gaps_of(pages):
            break
        shop.post("/cut?stream=count")
        pages[0].wait_for_timeout(100 + 61 * (number % 5))
        shown = shop.count()
        for page in pages:
            eventually(lambda page=page, n=shown: page.evaluate("seen.value") >= n, "up to date", within=3)
    for page in pages:
        eventually(lambda page=page: page.evaluate("seen.value") == shop.count(), "level", within=30)
        assert page.evaluate("seen.events") == [], "no number skipped or repeated without a load"
    assert gaps_of(pages)
