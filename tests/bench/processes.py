"""Starting the measured servers on a core of their own, and their accounts with the system."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Self

SERVER_CORE, LOAD_CORE = 0, 1


class Server:
    """A server process, pinned to one core."""

    took = 0.0

    def __init__(self, *command: str, **environment: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self._process = subprocess.Popen(
            [part.format(port=self.port) for part in command],
            preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
            stderr=subprocess.DEVNULL,
            env=os.environ | environment,
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                self.get("/hello")
                break
            except OSError:
                assert time.monotonic() < deadline, "the server doesn't answer"
                time.sleep(0.05)

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return bytes(answer.read())

    @property
    def pids(self) -> list[int]:
        """Its workers, or itself if it has none."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return [int(pid) for pid in children] or [self._process.pid]

    def cpu(self) -> float:
        """Seconds on the processor so far, of all threads, also of those that are over."""
        return sum(time.clock_gettime(_clock_of(pid)) for pid in self.pids)

    def resident(self) -> int:
        """Bytes."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids)
        return pages * resource.getpagesize()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> float:
        """SIGTERM, and how many seconds it took to go."""
        if self._process.poll() is None:
            start = time.monotonic()
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(40)
            self.took = time.monotonic() - start
        return self.took


def _clock_of(pid: int) -> int:
    # Of another process: what clock_getcpuclockid(3) gives, which Python has for threads only.
    return (~pid << 3) | 2


def floor() -> Server:
    """The bare loop."""
    return Server(sys.executable, "-m", "tests.bench.floor", "{port}")


def streamy(**environment: str) -> Server:
    """An ordinary Flask app on one gunicorn worker with four threads."""
    return Server(
        *(sys.executable, "-m", "gunicorn", "-k", "gthread", "--threads", "4", "--backlog", "4096"),
        *("-b", "0.0.0.0:{port}", "tests.bench.app:app"),
        **environment,
    )


def prepare() -> None:
    """Keep the load off the server's core, and allow many descriptors."""
    os.sched_setaffinity(0, {LOAD_CORE})
    allow_many_files()


def allow_many_files() -> None:
    """As many descriptors as there may be, here and in what is started."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
