"""Web servers: gunicorn with any worker, Werkzeug, waitress, `flask run`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from ssl import _create_unverified_context
from typing import Any, NamedTuple

from streamy_core.testing.gunicorn import gunicorn_settings, listening_port
from streamy_core.testing.reading import DEADLINE

from . import ROOT
from .process import ServerProcess
from .serve import SERVERS


@dataclass(frozen=True, slots=True)
class Pair:
    """A server with a delivery.

    server:  a worker class of gunicorn's, or one of `serve.SERVERS`.
    threads: how many requests it serves at once.
    alone:   why nothing else can be done while one stream is open; empty if it can.
    polls:   its clients get what they missed, and the close: no thread may be held by a stream.
    """

    server: str
    delivery: str
    threads: int = 16
    alone: str = ""
    polls: bool = False

    def __str__(self) -> str:
        return f"{self.server}-{'polling' if self.polls else self.delivery}"


class Reply(NamedTuple):
    """The answer to an ordinary request."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class HttpServer(ServerProcess):
    """A process that serves HTTP on 127.0.0.1, and writes to its log where it listens.

    It isn't started yet: `with server.start():`, or `start` and `stop`.

    port: 0 as long as nobody knows it.
    """

    port = 0
    tls = False

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    def request(self, method: str, path: str, body: bytes | None = None) -> Reply:
        """Ask by a connection of its own, which is closed when this returns."""
        connection = self.connection()
        try:
            headers = {"Connection": "close", "Content-Type": "application/json"}
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Reply(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def ask(self, path: str, *, method: str = "GET", body: bytes | None = None) -> bytes:
        """The body of the answer, which has to be a 200."""
        reply = self.request(method, path, body)
        assert reply.status == 200, f"{method} {path}: {reply.status} {reply.body[:200]!r}"
        return reply.body

    def connection(self) -> HTTPConnection:
        """One for several requests, to be closed by the caller."""
        if self.tls:
            return HTTPSConnection(*self.address, timeout=DEADLINE, context=_create_unverified_context())
        return HTTPConnection(*self.address, timeout=DEADLINE)

    def launch(self) -> None:
        self._log_before = len(self.log())
        super().launch()

    def answers(self) -> bool:
        # Another server might have taken the port that was chosen: the log says when it is this one.
        port = listening_port(self.log(self._log_before))
        if port is None:
            return False
        self.port = port
        try:
            self.request("GET", "/hello")
        except (OSError, HTTPException):
            return False
        return True


class WebServer(HttpServer):
    """An app under a web server.

    app:         as gunicorn takes it: "package.module:app" or "package.module:create_app()".
    server:      as in `Pair`.
    options:     further ones of gunicorn's; they win.
    certificate: a PEM file with a certificate and its key, for TLS inside gunicorn's workers.
    host, port:  where gunicorn listens; port 0 is one that the system chooses anew at each start.
    environment: the app's variables.
    """

    def __init__(
        self,
        app: str,
        log: Path,
        *,
        server: str = "gthread",
        workers: int = 1,
        threads: int = 4,
        options: Sequence[str] = (),
        certificate: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        cwd: Path = ROOT,
        environment: Mapping[str, object | None] | None = None,
    ) -> None:
        if server in SERVERS:
            command = [sys.executable, "-m", f"{__package__}.serve", server, app, str(threads)]
        else:
            settings = gunicorn_settings(server, workers=workers, threads=threads)
            command = [sys.executable, "-m", "gunicorn", *_options({**settings, "bind": f"{host}:{port}"})]
            command += ["--certfile", str(certificate), "--keyfile", str(certificate)] if certificate else []
            command += [*options, app]
        own = {"WEB_CONCURRENCY": None, "GUNICORN_CMD_ARGS": None, "PYTHONUNBUFFERED": 1}
        super().__init__(command, log, cwd=cwd, environment=own | dict(environment or {}))
        self.tls = certificate is not None
        self.port = port
        self._kind = server

    def __str__(self) -> str:
        return self._kind


def _options(settings: Mapping[str, Any]) -> list[str]:
    """gunicorn's settings as options of its command."""
    from gunicorn.config import KNOWN_SETTINGS  # type: ignore[import-untyped]

    names = {setting.name: setting.cli[-1] for setting in KNOWN_SETTINGS if setting.cli}
    return [
        part
        for name, value in settings.items()
        for part in ([names[name]] if value is True else [names[name], str(value)])
    ]
