"""What several folders of tests need: a browser, and a word on what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = Path("/usr/bin/chromium")
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def go_without(reason: str) -> NoReturn:
    """Skip for want of a part, saying how to get it; but fail in CI, where nothing may go untested."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real browser, one for each process of the test runner: playwright can't be started twice."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        go_without('playwright is missing: pip install "streamy-sse[dev]"')
    if not CHROMIUM.exists():
        go_without(f"{CHROMIUM} is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        browser.close()
