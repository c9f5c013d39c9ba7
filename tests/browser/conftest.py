"""Fixtures: a real server, a network to it that can be cut, and tabs of a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..support.proxy import Proxy
from ..support.web_server import WebServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

APP = "tests.browser.app:create_app()"
KEEP_ALIVE = 0.5


class Shop(WebServer):
    """The app of `app.py`, by gunicorn."""

    def post(self, path: str, body: str = "") -> str:
        return self.ask(path, method="POST", body=body.encode()).decode()

    def send(self, *data: Any, stream: str = "news") -> None:
        for one in data:
            self.post(f"/send/{stream}", json.dumps(one))

    def asked(self) -> dict[str, int]:
        found: dict[str, int] = json.loads(self.ask("/asked"))
        return found

    def count(self) -> int:
        """The counter's number."""
        value: int = json.loads(self.ask("/count"))["value"]
        return value


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """Starts the app; settings are those of `STREAMY_`."""
    started: list[Shop] = []

    def start(*, app: str = APP, port: int = 0, **settings: object) -> Shop:
        given = {"KEEP_ALIVE": KEEP_ALIVE, "RECONNECT_DELAY": 0.3, **settings}
        environment = {f"STREAMY_{name}": value for name, value in given.items()}
        shop = Shop(app, tmp_path / "log", threads=8, port=port, environment=environment)
        shop.start().__enter__()
        started.append(shop)
        return shop

    yield start
    for shop in started:
        shop.stop()


@pytest.fixture
def shop(start: Callable[..., Shop]) -> Shop:
    return start()


@pytest.fixture
def proxy(shop: Shop) -> Iterator[Proxy]:
    with Proxy(shop.address) as proxy:
        yield proxy


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile: its tabs share what tabs of one browser share."""
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def visit(context: BrowserContext) -> Callable[..., Page]:
    """Opens the page in a tab of its own: `visit(port, "share&cursor")`. In the end, no script has failed."""

    def visit(port: int, query: str = "") -> Page:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}/?{query}")
        return page

    return visit
