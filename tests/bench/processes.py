"""Starting the measured servers on a core of their own, and their accounts with the system."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ..support.web_server import HttpServer, WebServer

SERVER_CORE, LOAD_CORE = 0, 1
STOPPING: Final = 40.0
"""Seconds that a server may take to go."""


class Server(HttpServer):
    """A server process, pinned to one core."""

    def launch(self) -> None:
        own = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {SERVER_CORE})  # which the process inherits
        try:
            super().launch()
        finally:
            os.sched_setaffinity(0, own)

    @property
    def pids(self) -> list[int]:
        """Its workers, or itself if it has none."""
        return self.children or [self.process.pid]

    def cpu(self) -> float:
        """Seconds on the processor so far, of all threads, also of those that are over."""
        return sum(time.clock_gettime(_clock_of(pid)) for pid in self.pids)

    def resident(self) -> int:
        """Bytes."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids)
        return pages * resource.getpagesize()

    def leave(self) -> float:
        """SIGTERM, and how many seconds it took to go."""
        start = time.monotonic()
        self.signal(signal.SIGTERM)
        self.wait(STOPPING)
        return time.monotonic() - start


class StreamyServer(Server, WebServer):
    """gunicorn that serves the app."""


def _clock_of(pid: int) -> int:
    # Of another process: what clock_getcpuclockid(3) gives, which Python has for threads only.
    return (~pid << 3) | 2


@contextmanager
def floor() -> Iterator[Server]:
    """The bare loop."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", f"{__package__}.floor"]
        with Server(command, Path(folder) / "log").start() as server:
            yield server


@contextmanager
def streamy(**environment: str) -> Iterator[Server]:
    """An ordinary Flask app on one gunicorn worker with four threads."""
    with TemporaryDirectory() as folder, serving("app", Path(folder), environment) as server:
        yield server


@contextmanager
def serving(module: str, folder: Path, environment: Mapping[str, str]) -> Iterator[StreamyServer]:
    """The app of this module here, on one gunicorn worker with four threads, whose log is in the folder."""
    server = StreamyServer(
        f"{__package__}.{module}:app",
        folder / "log",
        options=("--backlog", "4096"),
        host="0.0.0.0",
        environment=environment,
    )
    with server.start():
        yield server


def prepare() -> None:
    """Keep the load off the server's core, and allow many descriptors."""
    os.sched_setaffinity(0, {LOAD_CORE})
    allow_many_files()


def allow_many_files() -> None:
    """As many descriptors as there may be, here and in what is started."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
