"""The README's quickstart does what it says, and its page outlives a stop of the server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..support import ROOT
from ..support.ports import free_port
from ..support.web_server import WebServer

if TYPE_CHECKING:
    from playwright.sync_api import Page as BrowserPage

pytestmark = pytest.mark.slow

STARTED = """

@app.get("/hello")
def hello():
    return "hello"


@app.get("/")
def page():
    return PAGE
"""


def block(language: str) -> str:
    found = re.search(
        rf"^```{language}\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert found
    return found[1]


@pytest.mark.slow
def test_the_page_shows_what_is_published_before_and_after_a_restart(
    tmp_path: Path, browser_page: BrowserPage
) -> None:
    page = "<!doctype html><title>README</title>" + block("html")
    settings = {"STREAMY_BROKER_URL": f"sqlite:///{tmp_path / 'streams.db'}"}
    made, configured = "app = Flask(__name__)\n", f"app.config.update({settings!r})\n"
    app = block("python").replace(made, made + configured)
    (tmp_path / "app.py").write_text(f"{app}\nPAGE = {page!r}\n{STARTED}", "utf-8")
    server = WebServer("app:app", tmp_path / "log", cwd=tmp_path, port=free_port())

    def publish(number: int) -> None:
        server.ask("/publish", method="POST", body=json.dumps({"number": number}).encode())

    def shown(number: int) -> None:
        text = json.dumps({"number": number}, separators=(",", ":"))
        browser_page.wait_for_function("text => document.body.textContent.includes(text)", arg=text)

    with server.start():
        with browser_page.expect_response("**/events"):
            browser_page.goto(f"http://127.0.0.1:{server.port}/")
        publish(1)
        shown(1)
        server.stop()
        browser_page.wait_for_timeout(2_000)
        server.start()
        publish(2)
        shown(2)
    shown_in_all = browser_page.text_content("body") or ""
    assert shown_in_all == '{"number":1}{"number":2}'
