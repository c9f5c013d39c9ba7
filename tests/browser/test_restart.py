"""gunicorn or Redis stopped and started behind a proxy as the guide has it, while events are published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streamy_core import StreamManager
from streamy_core.testing.reading import eventually

from ..backends.redis.servers import HOW_TO_GET, Server, binary
from ..support.caddy import Caddy
from ..support.certificates import make_certificate
from ..support.nginx import Nginx
from ..support.ports import free_port
from ..support.requirements import go_without
from .conftest import Shop

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(110)]

OUTAGE = 5_000
EXPECTED = list(range(6))


@pytest.fixture
def broker_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'streams.db'}"


@pytest.fixture
def shop(start: Callable[..., Shop], broker_url: str) -> Shop:
    return start(port=free_port(), BROKER_URL=broker_url, RECONNECT_DELAY=3)


@pytest.fixture
def proxy(kind: str, shop: Shop, tmp_path: Path) -> Iterator[Nginx | Caddy]:
    if kind == "Caddy":
        made: Nginx | Caddy = Caddy(tmp_path, shop.address)
    else:
        made = Nginx(tmp_path, shop.address, make_certificate(tmp_path), guided=kind == "nginx")
    with made.start():
        yield made


def live_page(context: BrowserContext, proxy: Nginx | Caddy, path: str, shop: Shop) -> Page:
    """A page that has had the shop's first event, by the proxy."""
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{proxy.plain[1]}/{path}")
    eventually(lambda: "live" in page.evaluate("seen.states"), "the page is live")
    shop.send(0)
    eventually(lambda: events(page) == [0], "the first event")
    return page


@pytest.mark.parametrize(
    ("path", "kind"),
    [("native", "nginx"), ("native", "Caddy"), ("?share", "nginx"), ("?share", "nginx as it comes")],
    ids=["EventSource, nginx", "EventSource, Caddy", "streamy.js, nginx", "streamy.js, nginx as it comes"],
)
def test_every_event_is_there_once_soon_after_the_start(
    shop: Shop,
    proxy: Nginx | Caddy,
    context: BrowserContext,
    broker_url: str,
    path: str,
) -> None:
    page = live_page(context, proxy, path, shop)
    shop.stop()
    with StreamManager(broker=broker_url) as elsewhere:
        for number in EXPECTED[1:-1]:
            elsewhere.send_event("news", number)
    page.wait_for_timeout(OUTAGE)
    shop.start().__enter__()
    shop.send(EXPECTED[-1])
    eventually(lambda: len(events(page)) >= len(EXPECTED), "all events", within=5)
    assert events(page) == EXPECTED


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Server]:
    """One that writes each event to its disk."""
    program = binary("redis") or go_without(f"redis-server is missing: {HOW_TO_GET}")
    server = Server(program, tmp_path / "redis", "appendonly yes", "appendfsync always")
    yield server.start()
    server.stop()


@pytest.mark.parametrize("path", ["native", "?share"], ids=["a native EventSource", "streamy.js"])
def test_a_restart_of_redis_costs_no_page_an_event(
    start: Callable[..., Shop],
    redis: Server,
    context: BrowserContext,
    tmp_path: Path,
    path: str,
) -> None:
    shop = start(BROKER_URL=redis.url)
    with Nginx(tmp_path, shop.address, make_certificate(tmp_path), guided=True).start() as nginx:
        page = live_page(context, nginx, path, shop)
        redis.kill()
        page.wait_for_timeout(OUTAGE)
        redis.start()
        shop.send(1, 2)
        eventually(lambda: len(events(page)) >= 3, "all events", within=20)
        assert events(page) == [0, 1, 2]


def events(page: Page) -> list[int]:
    found: list[int] = page.evaluate("seen.events")
    return found
