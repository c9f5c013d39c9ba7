"""How level the clients of several workers are: `python -m tests.bench.level [--clients N] [--workers N]`.

Prints how many each worker has after a start, a reload, and the end of one worker; then once more
every few seconds. One thread plays all clients.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import time
from pathlib import Path

from ..support.app_server import AppServer
from ..support.crowd import Crowd, Source
from ..support.event_stream import Frame
from ..support.ports import free_port
from ..support.web_server import Pair
from .fanout import report
from .processes import allow_many_files


def hear(source: Source, frame: Frame, at: float) -> None:
    pass


def held(server: AppServer, workers: int) -> dict[int, int]:
    """How many clients each worker has, by its process id."""
    found: dict[int, int] = {}
    for _ in range(50 * workers):
        reply = server.request("GET", "/stats")
        worker = int(dict(reply.headers)["X-Worker"])
        found[worker] = int(json.loads(reply.body)["clients"])
    return found


def told(found: dict[int, int]) -> str:
    return " ".join(f"{clients:,}" for clients in sorted(found.values()))


def measure(clients: int, workers: int, after: float, settings: dict[str, object], folder: Path) -> None:
    options = ("--workers", str(workers), "--worker-connections", str(2 * clients), "--graceful-timeout", "5")
    server = AppServer(
        folder / "log",
        Pair("gthread", "detached", 8),
        port=free_port(),
        options=options,
        settings={"STREAMY_BROKER_URL": f"sqlite:///{folder}/streams.db", **settings},
    )
    with server.start(), Crowd(server.address, server.path("news"), clients, hear) as crowd:

        def all_back(number: int) -> None:
            crowd.run_until(lambda: all(source.open for source in crowd.sources), "everybody back", 120)

        def wait(seconds: float) -> None:
            end = time.monotonic() + seconds
            crowd.run_until(lambda: time.monotonic() > end, "the time", seconds + 5)

        all_back(1)
        report(f"{clients:,} clients of {workers} workers, after the start", told(held(server, workers)))
        server.signal(signal.SIGHUP)
        wait(2)
        all_back(2)
        wait(1)
        found = held(server, workers)
        report("  after a reload", told(found))
        os.kill(min(found), signal.SIGKILL)
        wait(1)
        all_back(3)
        wait(2)
        report("  after one worker was killed", told(held(server, workers)))
        if after:
            for _ in range(6):
                wait(after / 6)
                report(f"  {after / 6:.0f} s later", told(held(server, workers)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--after", type=float, default=0, help="seconds to go on for")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="settings of the app"
    )
    args = parser.parse_args()
    allow_many_files()
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, object] = dict(each.split("=", 1) for each in args.set)
        measure(args.clients, args.workers, args.after, settings, Path(folder))


if __name__ == "__main__":
    main()
