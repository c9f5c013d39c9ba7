"""10,000 clients through a reload of two workers: `python -m tests.bench.storm [--clients N] [--killed]`.

killed: instead, all processes end without a word, and are started anew. Prints how long it takes until
all are back, how they are spread over the workers, and how long a view takes meanwhile. One thread plays
all clients, and a process of its own asks the view.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Final

from ..support import ROOT
from ..support.app_server import AppServer
from ..support.crowd import Crowd, Source
from ..support.event_stream import Frame
from ..support.ports import free_port
from ..support.web_server import Pair
from .fanout import report
from .processes import allow_many_files

WORKERS: Final = 2
THREADS: Final = 8


def hear(source: Source, frame: Frame, at: float) -> None:
    pass


@contextmanager
def asking(address: str) -> Iterator[subprocess.Popen[str]]:
    """A process that asks an ordinary view all the time, and tells how long each answer took."""
    command = [sys.executable, "-m", f"{__package__}.storm", "--ask", address]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def answers_of(process: subprocess.Popen[str]) -> list[float]:
    """End what was `asking`. Returns how long the answers took, in milliseconds, the quickest first."""
    process.terminate()
    return sorted(float(line) for line in process.communicate()[0].splitlines())


def report_answers(answers: list[float]) -> None:
    for part in (50, 99, 100):
        place = min(len(answers) * part // 100, len(answers) - 1)
        report(f"  a view meanwhile, p{part}", f"{answers[place]:.1f} ms", "< 100 ms" if part == 99 else "")


def ask(address: str) -> None:
    while True:
        start = time.perf_counter()
        try:
            with urllib.request.urlopen(f"{address}/hello", timeout=60) as answer:
                answer.read()
        except (OSError, HTTPException):  # it isn't there
            time.sleep(0.01)
            continue
        print(f"{(time.perf_counter() - start) * 1_000:.3f}", flush=True)
        time.sleep(0.01)


def storm(clients: int, folder: Path, *, killed: bool) -> None:
    options = ("--workers", str(WORKERS), "--worker-connections", str(2 * clients), "--graceful-timeout", "5")
    server = AppServer(
        folder / "log",
        Pair("gthread", "detached", THREADS),
        port=free_port(),
        options=options,
        settings={"STREAMY_BROKER_URL": f"sqlite:///{folder}/streams.db"},
    )
    with server.start(), Crowd(server.address, server.path("news"), clients, hear) as crowd:
        crowd.run_until_open(120)
        with asking(f"http://127.0.0.1:{server.address[1]}") as process:
            end = time.monotonic() + 1
            crowd.run_until(lambda: time.monotonic() > end, "a second")
            began = time.monotonic()
            if killed:
                server.kill()
                server.start()
            else:
                server.signal(signal.SIGHUP)
            crowd.run_until(
                lambda: all(source.connections >= 2 and source.open for source in crowd.sources),
                "everybody back",
                120,
            )
            took = time.monotonic() - began
            answers = answers_of(process)
        # Each answer is of one worker or another.
        held = {int(json.loads(server.ask("/stats"))["clients"]) for _ in range(50)}
    report(f"{clients:,} clients back after a {'kill' if killed else 'reload'}", f"{took:.1f} s", "< 15 s")
    report("  held by the workers", f"{min(held):,} to {max(held):,}", "level")
    report_answers(answers)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--killed", action="store_true")
    parser.add_argument("--ask", metavar="ADDRESS")
    args = parser.parse_args()
    if args.ask:
        ask(args.ask)
    allow_many_files()
    with tempfile.TemporaryDirectory() as folder:
        storm(args.clients, Path(folder), killed=args.killed)


if __name__ == "__main__":
    main()
