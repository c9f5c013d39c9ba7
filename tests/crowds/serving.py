"""gunicorn with one worker and four threads: started, asked, restarted, reloaded, ended."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final, NamedTuple

from streamy_core.testing.reading import DEADLINE, eventually

from ..servers.servers import _gunicorn_has_a_control_socket

THREADS: Final = 4

PACKAGE: Final = __name__.rpartition(".")[0]
ROOT: Final = Path(__file__).parents[PACKAGE.count(".") + 1]


class Stats(NamedTuple):
    """What a worker holds.

    behind: whether a client is behind.
    """

    threads: int
    descriptors: int
    streams: int
    clients: int
    resident: int
    behind: bool

    @property
    def held(self) -> tuple[int, int, int, int]:
        """What has to be given back."""
        return self.threads, self.descriptors, self.streams, self.clients


class Gunicorn:
    """One gunicorn at a time, always on the same port. Ended by `stop`.

    settings: the app's environment.
    """

    def __init__(self, log: Path, **settings: Any) -> None:
        self._log = log
        self._settings = {name: str(value) for name, value in settings.items()}
        self.address = ("127.0.0.1", _free_port())
        self.start()
        try:
            eventually(self.answers, "an answer from gunicorn")
        except BaseException as error:
            self.stop()
            error.add_note(self.log())
            raise

    def start(self) -> None:
        """Start it, and don't wait for it."""
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--bind",
            "{}:{}".format(*self.address),
            "--workers",
            "1",
        ]
        command += ["--worker-class", "gthread", "--threads", str(THREADS), "--graceful-timeout", "5"]
        if _gunicorn_has_a_control_socket():
            command.append("--no-control-socket")
        unset = {"WEB_CONCURRENCY", "GUNICORN_CMD_ARGS"}
        outer = {name: value for name, value in os.environ.items() if name not in unset}
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, f"{PACKAGE}.app:create_app()"],
                cwd=ROOT,
                env=outer | self._settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self) -> str:
        return self._log.read_text(errors="replace")[-5_000:]

    def path(self, stream: str) -> str:
        return f"/stream?id={stream}"

    def ask(self, method: str, path: str) -> bytes:
        connection = HTTPConnection(*self.address, timeout=DEADLINE)
        try:
            connection.request(method, path, headers={"Connection": "close"})
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, f"{method} {path}: {response.status} {body[:200]!r}"
            return body
        finally:
            connection.close()

    def publish(self, stream: str, *, count: int, size: int, rate: float) -> None:
        """Have it publish so many events of this size, so many a second, while this returns."""
        self.ask("POST", f"/publish?id={stream}&count={count}&size={size}&rate={rate}")

    def stats(self) -> Stats:
        return Stats(**json.loads(self.ask("GET", "/stats")))

    def settled(self, stream: str) -> Stats:
        """The stats of a worker that has started all it ever starts, and that nobody reads from."""
        self._meet()
        with socket.create_connection(self.address, timeout=DEADLINE) as client:
            client.sendall(f"GET {self.path(stream)} HTTP/1.1\r\nHost: crowd\r\n\r\n".encode())
            assert client.recv(16)
        seen: list[Stats] = []

        def stays() -> bool:
            seen.append(self.stats())
            held = [stats.held for stats in seen[-8:]]
            return held[-1][2:] == (0, 0) and len(held) == 8 and len(set(held)) == 1

        eventually(stays, "quiet")
        return seen[-1]

    def settles_to(self, base: Stats) -> None:
        """Fail unless everything beyond `base` is given back."""
        seen = [self.stats()]

        def is_back() -> bool:
            seen.append(self.stats())
            return all(now <= then for now, then in zip(seen[-1].held, base.held, strict=True))

        try:
            eventually(is_back, "everything given back")
        except AssertionError as error:
            error.add_note(f"{base} is where it should be, {seen[-1]} is where it stays")
            raise

    def stop(self) -> None:
        """End it. Its worker goes with it."""
        self.process.terminate()
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(DEADLINE)

    def answers(self) -> bool:
        assert self.process.poll() is None, "gunicorn has ended"
        try:
            return self.ask("GET", "/hello") == b"hello"
        except (OSError, HTTPException):
            return False

    def _meet(self) -> None:
        """Have as many requests served at once as can be: then every thread of the pool exists."""
        waiting = [HTTPConnection(*self.address, timeout=DEADLINE) for _ in range(THREADS)]
        try:
            for connection in waiting:
                connection.request("GET", f"/meet/{THREADS}", headers={"Connection": "close"})
            for connection in waiting:
                assert connection.getresponse().read() == b"met"
        finally:
            for connection in waiting:
                connection.close()


def _free_port() -> int:
    """A port that the system gives to nobody's outgoing connection while no gunicorn holds it.

    Else one of the clients that try to reconnect could be given it, and reach itself.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10_000, first)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
