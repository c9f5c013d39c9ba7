"""The pages of the guide "In the page with": each shows what comes, and goes on after a cut."""

from __future__ import annotations

import re
import urllib.parse
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from ..support import ROOT
from ..support.proxy import Proxy
from ..support.requirements import go_without
from .conftest import EXAMPLES, Serve

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

pytestmark = [pytest.mark.slow, pytest.mark.timeout(110)]

PACKAGES = ROOT / "tests" / "browser" / "node" / "node_modules"

STATIC = {
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "sse.min.js": "htmx-ext-sse/dist/sse.min.js",
    "turbo.js": "@hotwired/turbo/dist/turbo.es2017-esm.js",
    "vue.js": "vue/dist/vue.esm-browser.prod.js",
}
"""What an app would have in its folder `static`, and where it is here."""

COMMONJS = {
    "scheduler": ("scheduler/cjs/scheduler.development.js", ""),
    "react": ("react/cjs/react.development.js", "createElement, StrictMode, useEffect, useRef, useState"),
    "react-dom-shared": ("react-dom/cjs/react-dom.development.js", ""),
    "react-dom": ("react-dom/cjs/react-dom-client.development.js", "createRoot"),
}
"""The same for what a bundler would make a module of: which names pages import. React's strict mode mounts
all components twice where it is built for development: so an effect that isn't undone is seen."""


def module(file: str, names: str) -> str:
    """A CommonJS module as an ES module."""
    code = (PACKAGES / file).read_text("utf-8")
    needs = re.findall(r'require\("([a-z-]+)"\)', code)
    paths = {need: f"/static/{'react-dom-shared' if need == 'react-dom' else need}.js" for need in needs}
    imports = "".join(f'import _{n} from "{path}";\n' for n, path in enumerate(paths.values()))
    given = ", ".join(f'"{need}": _{n}' for n, need in enumerate(paths))
    return f"""{imports}const module = {{ exports: {{}} }}, process = {{ env: {{}} }};
        ((module, exports, require) => {{ {code} }})(module, module.exports, (name) => ({{ {given} }})[name]);
        export default module.exports;
        export const {{ {names} }} = module.exports;"""


@pytest.fixture
def page(browser_page: Page) -> Page:
    """One whose app has these packages in its folder `static`."""
    if not PACKAGES.is_dir():
        go_without("the packages are missing: npm install --prefix tests/browser/node")

    def give(route: Route) -> None:
        name = urllib.parse.urlsplit(route.request.url).path.rpartition("/")[2]
        stem = name.removesuffix(".js")
        if name in STATIC:
            route.fulfill(path=PACKAGES / STATIC[name])
        elif stem in COMMONJS:
            route.fulfill(body=module(*COMMONJS[stem]), content_type="text/javascript")
        else:
            route.continue_()

    def give_datastar(route: Route) -> None:
        # Its modules import each other by less than their names, as bundlers allow.
        path = urllib.parse.urlsplit(route.request.url).path.partition("/datastar/")[2]
        folder = PACKAGES / "@starfederation" / "datastar" / "dist"
        found = next(end for end in ("", ".js", "/index.js") if (folder / f"{path}{end}").is_file())
        if found:
            body = f'export * from "/datastar/{path}{found}";'
            route.fulfill(body=body, content_type="text/javascript")
        else:
            route.fulfill(path=folder / path)

    browser_page.route("**/static/*", give)
    browser_page.route(
        "**/static/datastar.js",
        lambda route: route.fulfill(
            body='import "/datastar/bundles/datastar.js";', content_type="text/javascript"
        ),
    )
    browser_page.route("**/datastar/**", give_datastar)
    return browser_page


@pytest.mark.parametrize("name", ["eventsource", "htmx", "turbo", "datastar", "react", "vue"])
def test_the_page_shows_what_comes_and_goes_on_after_a_cut(gunicorn: Serve, page: Page, name: str) -> None:
    address = gunicorn("notes:app", cwd=EXAMPLES / "pages")
    errors: list[object] = []
    page.on("pageerror", lambda error: errors.append(error))
    host, port = address.removeprefix("http://").split(":")

    add(address, "before <b>")
    with Proxy((host, int(port))) as proxy:
        page.goto(f"http://127.0.0.1:{proxy.port}/with/{name}")
        shows(page, "before <b>")
        add(address, "while it is open")
        shows(page, "before <b>", "while it is open")
        proxy.refuse()
        add(address, "while it is cut off")
        proxy.resume()
        add(address, "after it")
        shows(page, "before <b>", "while it is open", "while it is cut off", "after it")
    assert errors == []


def test_the_page_with_htmx_asks_no_more_when_it_is_refused(gunicorn: Serve, page: Page) -> None:
    address = gunicorn("notes:app", cwd=EXAMPLES / "pages")
    host, port = address.removeprefix("http://").split(":")
    with Proxy((host, int(port))) as proxy:
        page.goto(f"http://127.0.0.1:{proxy.port}/with/htmx")
        add(address, "it is open")
        shows(page, "it is open")
        page.route("**/fragments*", lambda route: route.fulfill(status=401))
        proxy.cut()
        page.wait_for_selector("#notes:not([sse-connect])", state="attached")


def add(address: str, text: str) -> None:
    urlopen(f"{address}/notes", urllib.parse.urlencode({"text": text}).encode()).close()


def shows(page: Page, *notes: str) -> None:
    page.wait_for_selector(f"#notes li:nth-child({len(notes)})")
    assert page.locator("#notes li").all_text_contents() == list(notes)
