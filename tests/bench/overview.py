"""What the live page costs: `python -m tests.bench.overview [--clients N] [--screenshots FOLDER]`.

Two workers of gunicorn share SQLite (or `--broker URL`) and 5,000 clients, to some of which events come. It
prints the share of a core that the server takes without `STREAMY_OVERVIEW`, with it while nobody looks, and
while the page is open in chromium. Screenshots are taken light, dark, and as on a phone.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..support.browser import ARGUMENTS, CHROMIUM
from .fanout import report
from .load import Crowd
from .processes import StreamyServer, prepare

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WORKERS: Final = 2
STREAMS: Final = 200
RATE: Final = 20
"""Events a second, each to one stream."""

LOOKS: Final[dict[str, dict[str, Any]]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1360, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1360, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}, "device_scale_factor": 2},
    "phone-dark": {
        "color_scheme": "dark",
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
    },
}


@contextmanager
def served(broker: str, clients: int, overview: str | None) -> Iterator[tuple[StreamyServer, Crowd]]:
    """The app with its clients, while events come."""
    environment = {"BROKER_URL": broker} | ({} if overview is None else {"OVERVIEW": overview})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment["BROKER_URL"] = broker or f"sqlite:///{folder}/streams.db"
        server = StreamyServer(
            f"{__package__}.app:app",
            folder / "log",
            options=(
                "--backlog",
                "4096",
                "--workers",
                str(WORKERS),
                "--worker-connections",
                str(2 * clients),
            ),
            environment=environment,
        )
        stack.enter_context(server.start())
        paths = [f"/stream?id={stream_of(place)}" for place in range(clients)]
        crowd = stack.enter_context(Crowd(server.port, paths))
        names = "&".join(f"id={stream_of(place)}" for place in range(0, STREAMS, 10))
        server.ask(f"/publish?{names}&n=100000&rate={RATE / (STREAMS / 10)}")
        yield server, crowd


def stream_of(place: int) -> str:
    number = place % STREAMS
    return f"{('room', 'order', 'user', 'news')[number % 4]}:{number}"


def share(server: StreamyServer, crowd: Crowd, seconds: float, page: Page | None = None) -> float:
    """The share of a core that the server takes, while all clients read."""
    cpu, began = server.cpu(), time.monotonic()
    while (left := began + seconds - time.monotonic()) > 0:
        crowd.watch(2**31, min(0.5, left), spin=False)
        if page is not None:
            page.wait_for_timeout(1)  # which lets playwright hear of what the browser tells
    return (server.cpu() - cpu) / (time.monotonic() - began)


def page_of(server: StreamyServer) -> str:
    return f"http://127.0.0.1:{server.port}/streamy/"


def take_screenshots(browser: Browser, server: StreamyServer, crowd: Crowd, folder: Path) -> None:
    url = page_of(server)
    folder.mkdir(parents=True, exist_ok=True)
    for name, look in LOOKS.items():
        context = browser.new_context(**look)
        page = context.new_page()
        page.goto(url)
        share_of(crowd, 4, page)
        page.screenshot(path=folder / f"{name}.png")
        page.screenshot(path=folder / f"{name}-whole.png", full_page=True)
        page.fill("#name", "room:40")
        page.press("#name", "Enter")
        page.wait_for_selector("#stream h3")
        page.click("text=Follow")
        share_of(crowd, 6, page)
        page.locator(".columns").nth(1).screenshot(path=folder / f"{name}-stream.png")
        context.close()
    page = browser.new_page(viewport=LOOKS["light"]["viewport"])
    page.goto(url)
    share_of(crowd, 4, page)
    os.kill(min(server.pids), signal.SIGKILL)
    page.wait_for_timeout(9_000)  # in which nobody reads: the clients of that worker are cut off
    page.screenshot(path=folder / "trouble.png", full_page=True)


def share_of(crowd: Crowd, seconds: float, page: Page) -> None:
    """Let time pass while clients read."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        crowd.watch(2**31, 0.3, spin=False)
        page.wait_for_timeout(10)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--broker", default="", help="instead of SQLite")
    parser.add_argument("--screenshots", type=Path, help="the folder to save some in")
    parser.add_argument("--only-screenshots", action="store_true")
    args = parser.parse_args()
    prepare()
    if not args.only_screenshots:
        with served(args.broker, args.clients, None) as (server, crowd):
            without = share(server, crowd, args.seconds)
        report(f"{args.clients:,} clients of {WORKERS} workers, without it", f"{without:.2%} of a core")
    from playwright.sync_api import sync_playwright

    with served(args.broker, args.clients, "loopback") as (server, crowd), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        if not args.only_screenshots:
            idle = share(server, crowd, args.seconds)
            report("  where nobody looks", f"{idle:.2%}, {idle - without:+.2%}", "< 2 % more")
            page = browser.new_page()
            page.goto(page_of(server))
            seen = share(server, crowd, args.seconds, page)
            report("  while the page is open", f"{seen:.2%}, {seen - without:+.2%}", "< 2 % more")
            page.close()
        if args.screenshots is not None:
            take_screenshots(browser, server, crowd, args.screenshots)
        browser.close()


if __name__ == "__main__":
    main()
