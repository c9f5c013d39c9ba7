"""Others' clients, in a browser, in Node and in Python: what becomes of three events, whatever happens."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streamy_core import StreamManager
from streamy_core.testing.reading import eventually

from ...support import ROOT
from ...support.certificates import make_certificate
from ...support.nginx import Nginx
from ...support.ports import free_port
from ...support.process import ServerProcess
from ...support.proxy import Proxy
from ..conftest import Shop
from .table import ROWS, Fault, Row, Verdict, lines

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(118)]

HERE = Path(__file__).parent
APP = "tests.browser.clients.app:create_app()"
OUTAGE = 5.0
PATIENCE = 30.0
"""Seconds for a client to come back: some wait twice as long after each attempt."""
LOOKING = 10.0
"""Seconds in which a client that asks on and on has asked again."""
TEXT = "Grüße \u2028 日本 👩🏽‍🚀"


class Programs:
    """The clients in Node and in Python, as processes that write what they hear."""

    def __init__(self) -> None:
        self.heard: defaultdict[str, list[str]] = defaultdict(list)
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, command: list[str], clients: dict[str, str]) -> None:
        """clients: the URL of each."""
        pairs = json.dumps(list(clients.items()))
        process = subprocess.Popen([*command, pairs], cwd=ROOT, stdout=subprocess.PIPE)
        self._processes.append(process)
        threading.Thread(target=self._read, args=[process], daemon=True).start()

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
                name, data = json.loads(line)
                self.heard[name].append(data)


class Site:
    """All clients, and the way to their streams: a network that can be cut, nginx, gunicorn."""

    def __init__(self, shop: Shop, proxy: Proxy, broker: str, context: BrowserContext) -> None:
        self.shop, self.proxy = shop, proxy
        self._broker, self._context = broker, context
        self._pages: dict[str, Page] = {}
        self._programs = Programs()
        self.errors: list[tuple[str, str]] = []

    def open(self) -> None:
        """Returns when each client has been answered."""
        for row in ROWS:
            if row.where == "browser":
                # Each has a host of its own: six connections to one are all that a browser opens.
                address = self._url(f"/client/{row.name}?ids={row.name}", f"{row.name}.localhost")
                self._pages[row.name] = page = self._context.new_page()
                page.on("pageerror", lambda error, name=row.name: self.errors.append((name, str(error))))
                page.goto(address)
        for where, command in (
            ("node", ["node", str(HERE.parent / "node" / "clients.mjs")]),
            ("python", [sys.executable, "-m", "tests.browser.clients.python"]),
        ):
            urls = {row.name: self._url(f"/events?ids={row.name}") for row in ROWS if row.where == where}
            self._programs.start(command, urls)
        try:
            eventually(lambda: self.shop.asked()["clients"] == len(ROWS), "all clients", within=15)
        except AssertionError as error:
            error.add_note(f"{self.shop.asked()}, of which {self.asked()}; errors: {self.errors}")
            raise
        # What nginx has of an opening has also been passed on when two keep-alives have followed it.
        time.sleep(1.5)

    def asked(self) -> dict[str, int]:
        """How often each client has asked for its stream since the server's start."""
        found: dict[str, int] = json.loads(self.shop.ask("/asked/each"))
        return found

    def publish(self, *texts: str) -> None:
        with StreamManager(broker=self._broker) as elsewhere:
            for row in ROWS:
                for text in texts:
                    data, name = row.publish(text)
                    elsewhere.send_event(row.name, data, name or None)

    def each(self, what: Callable[[str], object]) -> None:
        for row in ROWS:
            what(row.name)

    def shown(self, row: Row) -> list[str]:
        """The texts that the client has shown."""
        if row.where != "browser":
            return list(self._programs.heard[row.name])
        found: list[str] = self._pages[row.name].evaluate(
            "[...document.querySelectorAll('#list li')].map(({ textContent }) => textContent)"
        )
        return found

    def show(self, rows: list[Row], *texts: str, within: float = PATIENCE) -> None:
        """Wait until these clients have shown as many texts, or the time is over."""
        end = time.monotonic() + within
        while time.monotonic() < end and not all(len(self.shown(row)) >= len(texts) for row in rows):
            self._context.pages[0].wait_for_timeout(200)

    def wait(self, seconds: float) -> None:
        """While the pages go on."""
        self._context.pages[0].wait_for_timeout(seconds * 1_000)

    def close(self) -> None:
        self._programs.close()

    def _url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.proxy.port}{path}"


@pytest.fixture
def site(start: Callable[..., Shop], tmp_path: Path, context: BrowserContext, fault: Fault) -> Iterator[Site]:
    broker = f"sqlite:///{tmp_path / 'streams.db'}"
    shop = start(app=APP, port=free_port(), BROKER_URL=broker)
    with ExitStack() as stack:
        nginx = Nginx(tmp_path, shop.address, make_certificate(tmp_path), guided=True)
        stack.enter_context(nginx.start())
        proxy = stack.enter_context(Proxy(nginx.plain))
        site = Site(shop, proxy, broker, context)
        stack.callback(site.close)
        yield site


def happen(fault: Fault, site: Site) -> None:
    """Have this happen to all clients, and publish what shows whether they take it."""
    steady = [row for row in ROWS if row.becomes_of(fault) is Verdict.OK]
    if fault is Fault.TEXT:
        site.publish(TEXT)
        return site.show(steady, TEXT)
    if fault is not Fault.BEFORE:
        site.publish("1")
        site.show(list(ROWS), "1")
    match fault:
        case Fault.BEFORE:
            site.proxy.refuse()
            site.publish("1", "2")
            site.proxy.resume()
        case Fault.AFTER:
            site.proxy.refuse()
            site.publish("2")
            site.proxy.resume()
        case Fault.CLOSE:
            site.each(lambda name: site.shop.post(f"/cut?stream={name}"))
            site.publish("2")
        case Fault.OUTAGE:
            site.shop.stop()
            site.publish("2")
            site.wait(OUTAGE)
            ServerProcess.start(site.shop)
        case Fault.END:
            site.publish("2", "3")
            site.each(lambda name: site.shop.post(f"/end/{name}"))
            return site.wait(LOOKING)
        case Fault.REFUSED:
            site.each(lambda name: site.shop.post(f"/mode/401?stream={name}"))
            site.each(lambda name: site.shop.post(f"/cut?stream={name}"))
            return site.wait(LOOKING)
    site.publish("3")
    site.show(steady, "1", "2", "3")
    return None


def verdict(fault: Fault, row: Row, site: Site, asked: dict[str, int]) -> Verdict:
    shown, times = site.shown(row), asked.get(row.name, 0)
    if fault is Fault.TEXT:
        return Verdict.OK if shown == [TEXT] else Verdict.LOST
    if fault in (Fault.END, Fault.REFUSED):
        expected = ["1", "2", "3"] if fault is Fault.END else ["1"]
        if shown != expected:
            return Verdict.LOST
        return Verdict.STOPS if times <= 2 else Verdict.LOOPS
    if shown == ["1", "2", "3"]:
        return Verdict.OK
    came_back = times > (0 if fault is Fault.OUTAGE else 1)
    begun = ["1", "2", "3"][: len(shown)]
    return Verdict.LOST if came_back or shown != begun else Verdict.DEAD


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_what_becomes_of_three_events(site: Site, fault: Fault) -> None:
    site.open()
    happen(fault, site)
    asked = site.asked()
    found = {row: verdict(fault, row, site, asked) for row in ROWS}
    others = {
        row.name: f"{now}, not {row.becomes_of(fault)}: asked {asked.get(row.name)}, {site.shown(row)}"
        for row, now in found.items()
        if now is not row.becomes_of(fault)
    }
    assert others == {}


def test_the_page_shows_this_table() -> None:
    page = (ROOT / "docs" / "reference" / "clients.md").read_text("utf-8")
    assert [line for line in page.splitlines() if line.startswith("|")] == lines()
