"""Servers for a single test, the app they run, nginx, and a client that writes its own request.

The app is that of `tests/servers` with routes of its own, served by a second manager, `stage`, whose
broker is the first one's.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, Self

from flask import Flask, Response, jsonify, request
from flask.signals import appcontext_popped, appcontext_pushed

from streamy_core import StreamManager
from streamy_core.manager import EXTENSION
from streamy_core.signals import client_connected, client_disconnected
from streamy_core.testing.reading import DEADLINE, eventually

from ..servers.app import create_app as create_servers_app
from ..servers.clients import RawClient
from ..servers.parsing import StreamParser
from ..servers.servers import Pair, Server

PER_KEY: Final = 2
RECONNECT_DELAY: Final = 3.0
"""Seconds; the jitter is half of it either way."""

_PACKAGE: Final = __name__.rpartition(".")[0]
_ROOT: Final = Path(__file__).parents[_PACKAGE.count(".") + 1]


def create_app() -> Flask:
    """The app: see the module."""
    app = create_servers_app()
    broker = app.extensions[EXTENSION]["default"].broker
    sse = StreamManager(app, name="stage", broker=broker, max_connections_per_key=PER_KEY)
    counts: Counter[str] = Counter()
    told: list[dict[str, Any]] = []

    def record(what: str) -> Any:
        def recorded(_: StreamManager, **news: Any) -> None:
            told.append({**news, "signal": what, "streams": list(news["streams"])})

        return recorded

    for happened in (client_connected, client_disconnected):
        happened.connect(record(happened.name), weak=False)

    def count(what: str) -> Any:
        def counted(*_: Any, **__: Any) -> None:
            counts[what] += 1

        return counted

    appcontext_pushed.connect(count("pushed"), app, weak=False)
    appcontext_popped.connect(count("popped"), app, weak=False)

    @app.teardown_request
    def torn_down(error: BaseException | None) -> None:
        counts[f"teardown {request.path}"] += 1

    @app.after_request
    def decorate(response: Response) -> Response:
        response.headers["X-App"] = "stage"
        response.headers["Access-Control-Allow-Origin"] = "https://example.org"
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.set_cookie("first", "1", httponly=True)
        response.set_cookie("second", "2", samesite="Lax")
        return response

    @app.route("/open/<path:name>", methods=["GET", "POST"])
    def open_stream(name: str) -> Response:
        return sse.get_stream(name, key=request.args.get("key"))

    @app.get("/counts")
    def show_counts() -> Response:
        return jsonify(counts)

    @app.get("/told/<path:name>")
    def show_told(name: str) -> Response:
        """The signals about clients of this stream."""
        return jsonify([news for news in told if name in news["streams"]])

    @app.get("/pid")
    def pid() -> str:
        return str(os.getpid())

    return app


class Gunicorn(Server):
    """gunicorn with one worker process and with these options, for one test.

    certificate: a PEM file with a certificate and its key, for TLS inside the worker.
    settings: environment variables beyond those that belong to the pair.
    """

    def __init__(
        self,
        pair: Pair,
        log: Path,
        *options: str,
        certificate: Path | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--workers", "1"]
        command += ["--worker-class", pair.server, "--graceful-timeout", "30", "--timeout", "60"]
        command += ["--no-control-socket", "--access-logfile", "-"]
        if pair.server == "gthread":
            command += ["--threads", str(pair.threads)]
        if certificate is not None:
            command += ["--certfile", str(certificate), "--keyfile", str(certificate)]
        self._start(pair, log, [*command, *options, f"{_PACKAGE}.stage:create_app()"], settings or {})
        self._tls = certificate is not None
        self._await(r"Listening at: https?://127\.0\.0\.1:(\d+)")

    def visit(self, path: str, **request: Any) -> Visitor:
        """A client that asks for this, as `Visitor` says."""
        return Visitor(self.address, path, tls=self._tls, **request)

    def ask(self, path: str) -> bytes:
        """What a GET of it is answered with."""
        with self.visit(path, headers={"Connection": "close"}) as visitor:
            return visitor.read_body()

    def counts(self) -> Counter[str]:
        """What /counts says: app contexts pushed and popped, and teardowns by path."""
        return Counter(json.loads(self.ask("/counts")))

    def told(self, stream: str) -> list[dict[str, Any]]:
        """The signals about clients of this stream so far."""
        signals: list[dict[str, Any]] = json.loads(self.ask(f"/told/{stream}"))
        return signals

    def delivery(self, stream: str) -> list[str]:
        """How the clients of this stream that have connected are served."""
        return [news["delivery"] for news in self.told(stream) if news["signal"] == client_connected.name]

    def hears_of_parting(self, stream: str, reason: str, count: int = 1) -> None:
        """Wait until so many clients of this stream have been told to have gone for this reason."""

        def has_heard() -> bool:
            return [news.get("reason") for news in self.told(stream)].count(reason) >= count

        eventually(has_heard, f"{count} clients {reason}")

    def worker(self) -> int:
        """The worker's process id."""
        return int(self.ask("/pid"))

    def signal(self, number: signal.Signals, *, to_all: bool = False) -> None:
        """Send a signal to the master, or also to its workers, as a terminal does."""
        if to_all:
            os.killpg(self._process.pid, number)
        else:
            self._process.send_signal(number)

    def wait(self, timeout: float) -> int:
        """The master's exit code, within this time."""
        return self._process.wait(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server for certain; to end it well is what the tests are about."""
        self._process.terminate()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(DEADLINE)

    def _start(self, pair: Pair, log: Path, command: list[str], settings: Mapping[str, object]) -> None:
        self.pair = pair
        self._log = log
        self._warm = False
        self._tls = False
        given = {
            "STREAMY_BROKER_URL": "memory://",
            "STREAMY_DELIVERY": pair.delivery,
            "STREAMY_WSGI_SLOTS": pair.threads,
            "STREAMY_RECONNECT_DELAY": RECONNECT_DELAY,
            "PYTHONUNBUFFERED": 1,
            **settings,
        }
        unset = {"WEB_CONCURRENCY", "GUNICORN_CMD_ARGS"}
        outer = {name: value for name, value in os.environ.items() if name not in unset}
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=_ROOT,
                env=outer | {name: str(value) for name, value in given.items()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _await(self, listening: str) -> None:
        try:
            eventually(lambda: self._says(listening), "an address to connect to")
            found = re.search(listening, self.log())
            assert found is not None
            self.address = ("127.0.0.1", int(found[1]))
            eventually(self._answers, f"an answer from {self.pair}")
        except BaseException as error:
            self.stop()
            error.add_note(f"log of {self.pair}:\n{self.log()}")
            raise

    def _says(self, pattern: str) -> bool:
        assert self._process.poll() is None, f"{self.pair} ended with {self._process.returncode}"
        return re.search(pattern, self.log()) is not None

    def _answers(self) -> bool:
        try:
            return self.ask("/hello") == b"hello"
        except (OSError, HTTPException):
            return False


class FlaskRun(Gunicorn):
    """`flask run`."""

    def __init__(self, log: Path) -> None:
        # A shell's background job, as this may be, is started with Ctrl-C ignored.
        code = (
            "import signal, flask.cli; signal.signal(signal.SIGINT, signal.default_int_handler); "
            "flask.cli.main()"
        )
        command = [sys.executable, "-c", code, "--app", f"{_PACKAGE}.stage:create_app", "run", "--port", "0"]
        self._start(Pair("werkzeug", "auto", 40), log, command, {})
        self._await(r"Running on http://127\.0\.0\.1:(\d+)")


class Visitor(RawClient):
    """One request, written to the letter, over one socket; read as a RawClient is.

    version: of HTTP. behind: bytes to be sent at once behind the head: a body, or a further request.
    """

    def __init__(
        self,
        address: tuple[str, int],
        path: str,
        *,
        method: str = "GET",
        version: str = "1.1",
        headers: Mapping[str, str] | None = None,
        behind: bytes = b"",
        tls: bool = False,
    ) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.raw_bytes = 0
        self.closed_by_server = False
        self._head = b""
        self._body = StreamParser()
        self._chunks = None
        self._socket = socket.create_connection(address, timeout=DEADLINE)
        if tls:
            self._socket = _unchecked().wrap_socket(self._socket)
        lines = [f"{method} {path} HTTP/{version}", f"Host: {address[0]}:{address[1]}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode() + behind)

    def read_body(self) -> bytes:
        """The body of an ordinary answer, which has a length or ends with the connection."""
        return self.read_all().partition(b"\r\n\r\n")[2]

    def read_all(self, until: bytes = b"") -> bytes:
        """Every byte up to and with `until`, or else up to the close, unparsed. Instead of reading."""
        received = b""
        end = time.monotonic() + DEADLINE
        while not (until and until in received):
            self._socket.settimeout(max(0.001, end - time.monotonic()))
            data = self._socket.recv(65_536)
            assert data or not until, f"closed before {until!r}: {received[-500:]!r}"
            if not data:
                break
            received += data
        return received


class Nginx:
    """nginx, which passes everything to this upstream, with plain HTTP and with TLS.

    directory: for its files; certificate: a PEM file with a certificate and its key.
    """

    def __init__(self, directory: Path, upstream: tuple[str, int], certificate: Path) -> None:
        self.plain, self.tls = (("127.0.0.1", port) for port in _free_ports(2))
        self._log = directory / "nginx.log"
        config = directory / "nginx.conf"
        passing = f"location / {{ proxy_pass http://{upstream[0]}:{upstream[1]}; }}"
        temporary = "\n".join(
            f"{kind}_temp_path {directory / kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(f"""
            daemon off; {user} worker_processes 1;
            pid {directory / "nginx.pid"}; error_log {self._log} notice;
            events {{ }}
            http {{
                access_log off; {temporary}
                server {{ listen {self.plain[0]}:{self.plain[1]}; {passing} }}
                server {{
                    listen {self.tls[0]}:{self.tls[1]} ssl; {passing}
                    ssl_certificate {certificate}; ssl_certificate_key {certificate};
                }}
            }}
        """)
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [find_nginx() or "nginx", "-p", directory, "-e", self._log, "-c", config],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            eventually(self._listens, "nginx listens")
        except BaseException as error:
            self.stop()
            error.add_note(f"log of nginx:\n{self._log.read_text()}")
            raise

    def stop(self) -> None:
        """End it, master and worker."""
        self._process.terminate()
        self._process.wait(DEADLINE)

    def _listens(self) -> bool:
        assert self._process.poll() is None, f"nginx ended with {self._process.returncode}"
        try:
            for address in (self.plain, self.tls):
                socket.create_connection(address, DEADLINE).close()
        except ConnectionRefusedError:
            return False
        return True


def find_nginx() -> str | None:
    """nginx, which Debian keeps where only root looks."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def make_certificate(directory: Path) -> Path:
    """A self-signed certificate and its key, in one PEM file."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += [
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
        "-out",
        str(certificate),
        "-keyout",
        str(key),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE)
    both = directory / "both.pem"
    both.write_text(certificate.read_text() + key.read_text())
    return both


def wait_until_gone(pid: int, timeout: float) -> None:
    """Wait until this process has ended; fails after `timeout` seconds."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(process, select.POLLIN)
        assert poll.poll(timeout * 1000), f"process {pid} is still there after {timeout} s"
    finally:
        os.close(process)


def _unchecked() -> ssl.SSLContext:
    """TLS with whoever answers: the certificate is our own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports
