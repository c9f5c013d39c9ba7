"""10,000 clients whose right to read ends in one second: `python -m tests.bench.rights [--clients N]`.

They come back with a right that doesn't end. Prints when their connections ended, how long a view took
meanwhile, and whether anybody missed an event. One thread plays all clients, and publishes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final, Self

from ..support.app_server import AppServer
from ..support.crowd import Crowd, Source
from ..support.event_stream import Frame
from ..support.ports import free_port
from ..support.web_server import Pair
from .fanout import report
from .processes import allow_many_files
from .storm import THREADS, answers_of, asking, report_answers

CONNECTING: Final = 1_000
"""Clients that connect in a second."""
AFTER_THAT: Final = 30.0
"""Seconds that their rights go on once all have connected."""
PAUSE: Final = 0.25
"""Seconds between two events."""


class Ends(list[Any]):
    """The ends of one client's connections. When the first was, goes into a list that all share."""

    def __init__(self, moments: list[float]) -> None:
        super().__init__()
        self._moments = moments

    def append(self, item: Any) -> None:
        if not self:
            self._moments.append(time.time())
        super().append(item)


class Published:
    """Numbers, one each `PAUSE`, by a thread of its own, and who has missed or repeated one."""

    def __init__(self, server: AppServer) -> None:
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self.newest = 0
        self.wrong: list[tuple[int, int]] = []

    def hear(self, source: Source, frame: Frame, at: float) -> None:
        if frame.data is None or not frame.data.isdecimal():
            return
        number = int(frame.data)
        if number != source.next_number and source.next_number > 1:
            self.wrong.append((source.next_number, number))
        source.next_number = number + 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _publish(self) -> None:
        while not self._over.wait(PAUSE):
            self._server.ask("/send/news", method="POST", body=str(self.newest + 1).encode())
            self.newest += 1

    def has(self, source: Source) -> bool:
        return source.next_number == self.newest + 1


def measure(clients: int, folder: Path) -> None:
    server = AppServer(
        folder / "log",
        Pair("gthread", "detached", THREADS),
        port=free_port(),
        options=("--worker-connections", str(2 * clients)),
    )
    with server.start():
        until = time.time() + clients / CONNECTING + AFTER_THAT
        published = Published(server)
        moments: list[float] = []
        path = f"{server.path('news')}&until={until}"
        with Crowd(server.address, path, clients, published.hear) as crowd:
            for source in crowd.sources:
                source.goodbyes = Ends(moments)
            crowd.run_until(lambda: all(source.connections for source in crowd.sources), "all", 120)

            def all_are_back() -> bool:
                return time.time() > until and all(source.open for source in crowd.sources)

            with asking(f"http://127.0.0.1:{server.address[1]}") as process, published:
                crowd.run_until(all_are_back, "everybody back", 120)
                answers = answers_of(process)
            crowd.run_until(lambda: all(map(published.has, crowd.sources)), "everybody level", 30)
            ends = sorted(until - moment for moment in moments)
    report(f"{len(ends):,} connections, ended", f"{ends[0]:.2f} to {ends[-1]:.2f} s before", "> 0")
    report("  half of them", f"{statistics.median(ends):.2f} s before", "spread")
    report("  events missed or repeated", str(len(published.wrong)), "0")
    report_answers(answers)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=10_000)
    args = parser.parse_args()
    allow_many_files()
    with tempfile.TemporaryDirectory() as folder:
        measure(args.clients, Path(folder))


if __name__ == "__main__":
    main()
