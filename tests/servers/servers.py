"""The servers: which there are, how each is started, asked and ended."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

from streamy_core.testing.reading import DEADLINE, eventually

from .clients import RawClient

THREADS: Final = 16
KEEP_ALIVE: Final = 0.1
"""The app's own interval, in seconds: soon enough for a gone client to be noticed within a test."""
RECONNECT_DELAY: Final = 0.1

_PACKAGE: Final = __name__.rpartition(".")[0]
_ROOT: Final = Path(__file__).parents[_PACKAGE.count(".") + 1]


@dataclass(frozen=True, slots=True)
class Pair:
    """A server with a delivery.

    threads: how many requests it serves at once.
    alone: why nothing else can be done while one stream is open; empty if it can.
    polls: its clients get what they missed, and the close: no thread may be held by a stream.
    """

    server: str
    delivery: str
    threads: int = THREADS
    alone: str = ""
    polls: bool = False

    def __str__(self) -> str:
        return f"{self.server}-{'polling' if self.polls else self.delivery}"


PAIRS: Final = (
    Pair("werkzeug", "wsgi"),
    Pair("gthread", "wsgi"),
    Pair("gevent", "wsgi"),
    Pair("waitress", "wsgi"),
    Pair("sync", "wsgi", threads=1, alone="its only worker is busy with the stream: nobody can publish"),
    Pair("gthread", "detached"),
    Pair("sync", "detached", threads=1),
)
"""All that is tested. A test takes `server` if every pair can do it, else one of the fixtures below it."""

LIVE: Final = tuple(pair for pair in PAIRS if not pair.alone)
GTHREAD: Final = tuple(pair for pair in PAIRS if pair.server == "gthread")
POLLING: Final = (
    Pair("sync", "wsgi", threads=1, polls=True),
    Pair("gthread", "wsgi", polls=True),
    Pair("waitress", "wsgi", polls=True),
)


class Reply(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Stats(NamedTuple):
    threads: int
    descriptors: int
    streams: int
    pid: int


class Server:
    """A running server with one worker process. Ended by `stop`.

    history: how many entries the broker keeps of a stream.
    """

    def __init__(self, pair: Pair, log: Path, *, history: int = 1_000) -> None:
        self.pair = pair
        self._log = log
        self._warm = False
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                _command(pair),
                cwd=_ROOT,
                env=_environment(pair, history),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self.address = ("127.0.0.1", self._find_port())
            eventually(self._answers, f"an answer from {pair}")
        except BaseException as error:
            self.stop()
            error.add_note(f"log of {pair}:\n{self.log()}")
            raise

    def log(self, since: int = 0) -> str:
        """What the server has written, from this many characters on."""
        return self._log.read_text(errors="replace")[since:]

    def path(self, *streams: str, after: str | None = None, keep_alive: float | None = None) -> str:
        """The path and query of these streams.

        after: for `?last_event_id=`. keep_alive: seconds between keep-alives.
        """
        query = {"ids": ",".join(streams), "last_event_id": after, "keep_alive": keep_alive}
        return "/stream?" + urlencode({name: value for name, value in query.items() if value is not None})

    def url(self, *streams: str, port: int | None = None, after: str | None = None) -> str:
        """The same as a URL; `port` may be a proxy's."""
        return f"http://127.0.0.1:{port or self.address[1]}{self.path(*streams, after=after)}"

    def connect(
        self,
        *streams: str,
        last_event_id: str | None = None,
        after: str | None = None,
        keep_alive: float | None = None,
        port: int | None = None,
    ) -> RawClient:
        """A client that has asked for these streams. last_event_id: for the header."""
        address = (self.address[0], port or self.address[1])
        path = self.path(*streams, after=after, keep_alive=keep_alive)
        return RawClient(address, path, last_event_id=last_event_id)

    def send(self, stream: str, text: str, name: str | None = None) -> str:
        """Publish and return the id."""
        query = f"?{urlencode({'name': name})}" if name else ""
        return self._ask("POST", f"/send/{quote(stream)}{query}", text.encode()).decode()

    def batch(self, stream: str, texts: Sequence[str]) -> list[str]:
        """Publish in one call and return the ids."""
        ids: list[str] = json.loads(self._ask("POST", f"/batch/{quote(stream)}", json.dumps(texts).encode()))
        return ids

    def end(self, stream: str) -> None:
        self._ask("POST", f"/end/{quote(stream)}")

    def cursor(self, *streams: str) -> str:
        """The place "from now on"."""
        return self._ask("GET", f"/cursor/{quote(','.join(streams))}").decode()

    def calls(self, *streams: str) -> int:
        """How often these streams have been asked for."""
        return int(self._ask("GET", f"/calls/{quote(','.join(streams))}"))

    def stats(self) -> Stats:
        return Stats(**json.loads(self._ask("GET", "/stats")))

    def settled(self) -> Stats:
        """The stats of a server that has started all it ever starts, and that nobody reads from."""
        if not self._warm:
            self._meet()
            with self.connect("warm-up") as client:
                client.read_opening()
            self._warm = True
        seen: list[Stats] = []

        def stays() -> bool:
            seen.append(self.stats())
            return seen[-1].streams == 0 and len(seen) >= 8 and len(set(seen[-8:])) == 1

        eventually(stays, f"quiet on {self.pair}")
        return seen[-1]

    def settles_to(self, base: Stats) -> None:
        """Fail unless everything beyond `base` is given back."""
        seen = [self.stats()]

        def is_back() -> bool:
            seen.append(self.stats())
            return all(now <= then for now, then in zip(seen[-1][:3], base[:3], strict=True))

        try:
            eventually(is_back, "everything given back")
        except AssertionError as error:
            error.add_note(f"{base} is where it should be, {seen[-1]} is where it stays")
            raise

    def request(self, method: str, path: str, body: bytes | None = None) -> Reply:
        """Ask by a connection of its own, which is closed when this returns."""
        connection = HTTPConnection(*self.address, timeout=DEADLINE)
        try:
            headers = {"Connection": "close", "Content-Type": "application/json"}
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Reply(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def stop(self) -> None:
        """End the server. Its workers go with it."""
        self._process.terminate()
        try:
            self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(DEADLINE)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        reply = self.request(method, path, body)
        assert reply.status == 200, f"{method} {path}: {reply.status} {reply.body[:200]!r}"
        return reply.body

    def _find_port(self) -> int:
        end = time.monotonic() + 3 * DEADLINE  # a busy machine starts slowly
        while time.monotonic() < end:
            if found := re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", self.log()):
                return int(found[1])
            assert self._process.poll() is None, f"{self.pair} ended with {self._process.returncode}"
            time.sleep(0.01)
        raise AssertionError(f"{self.pair} never said where it listens")

    def _answers(self) -> bool:
        try:
            return self.request("GET", "/hello").body == b"hello"
        except (OSError, HTTPException):
            return False

    def _meet(self) -> None:
        """Have as many requests served at once as can be: then every thread of a pool exists."""
        waiting = [HTTPConnection(*self.address, timeout=DEADLINE) for _ in range(self.pair.threads)]
        try:
            for connection in waiting:
                connection.request("GET", f"/meet/{len(waiting)}", headers={"Connection": "close"})
            for connection in waiting:
                assert connection.getresponse().read() == b"met"
        finally:
            for connection in waiting:
                connection.close()


def _command(pair: Pair) -> list[str]:
    if pair.server in ("werkzeug", "waitress"):
        return [sys.executable, "-m", f"{_PACKAGE}.run", pair.server, str(pair.threads)]
    command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--workers", "1"]
    command += ["--worker-class", pair.server, "--graceful-timeout", "1", "--timeout", "60"]
    if pair.server == "gthread":
        command += ["--threads", str(pair.threads)]
    if _gunicorn_has_a_control_socket():
        command.append("--no-control-socket")
    return [*command, f"{_PACKAGE}.app:create_app()"]


def _gunicorn_has_a_control_socket() -> bool:
    from gunicorn.config import KNOWN_SETTINGS  # type: ignore[import-untyped]

    return any(setting.name == "control_socket_disable" for setting in KNOWN_SETTINGS)


def _environment(pair: Pair, history: int) -> dict[str, str]:
    given: dict[str, Any] = {
        "STREAMY_BROKER_URL": "memory://",
        "BROKER_HISTORY": history,
        "STREAMY_DELIVERY": pair.delivery,
        # All threads: clients that have just left still hold theirs until the next keep-alive.
        "STREAMY_WSGI_SLOTS": 0 if pair.polls else pair.threads,
        "STREAMY_KEEP_ALIVE": KEEP_ALIVE,
        "STREAMY_RECONNECT_DELAY": RECONNECT_DELAY,
        "PYTHONUNBUFFERED": 1,
    }
    unset = {"WEB_CONCURRENCY", "GUNICORN_CMD_ARGS"}
    outer = {name: value for name, value in os.environ.items() if name not in unset}
    return outer | {name: str(value) for name, value in given.items()}
