"""The demo's app, and how it is served."""

from __future__ import annotations

import contextlib
import errno
import logging
import secrets
import socket
import threading
import time
import webbrowser
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import click
from flask import Flask, Response, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.serving import WSGIRequestHandler, make_server

from ..broker import Broker
from ..errors import InvalidEvent, StreamyError
from ..ids import OLDEST, split_cursor
from ..manager import StreamManager
from .background import CHAT, FILE, LINE, SYSTEM, Background
from .connections import Connections, hang_up
from .follow import Tail
from .guard import guard
from .story import story
from .system import Sampler

EXTENSION: Final = "streamy-demo"
"""The key in `app.extensions` of the app's `Demo`."""

OUTAGE: Final = 4.0
"""For how many seconds a client that was cut off can't come back."""

RECONNECT_DELAY: Final = 0.5
MOST_RUNS: Final = 16

RUNS: Final = "runs"
"""The stream that tells every page of the newest run."""
RUN: Final = "run"
MOST_TEXT: Final = 500

_MOST_SENT: Final = 65_536
_PAGE: Final = 500
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
_NAMES: Final = ("Dipper", "Heron", "Kingfisher", "Loach", "Minnow", "Otter", "Perch", "Salmon", "Trout")

logger: Final = logging.getLogger("streamy.demo")


class Demo:
    """What serves one demo app besides Flask. Closed by whoever made the app.

    streams: the streams of the page's one connection, each with how many of its newest events the
             page is given when it loads, and those events' name.
    """

    def __init__(self, sse: StreamManager, follow: Path | None) -> None:
        sampler = Sampler()
        tail = Tail(follow) if follow is not None else None
        self.sse = sse
        self.follow = follow
        self.streams: dict[str, tuple[int, str]] = {SYSTEM: (65, SYSTEM), CHAT: (50, CHAT), RUNS: (1, RUN)}
        if tail is not None:
            self.streams[FILE] = (200, LINE)
        self.connections: Connections = Connections(OUTAGE)
        self.background: Background = Background(sse, sampler, tail)

    def opening(self, cursor: str) -> dict[str, Any]:
        """What the page begins with: the newest events, up to the cursor that it connects with."""
        places = split_cursor(cursor, self.streams)
        events = {
            stream: newest(self.sse.broker, stream, places[stream], most, name)
            for stream, (most, name) in self.streams.items()
        }
        return {"now": round(time.time() * 1000), "events": events}

    def close(self) -> None:
        """Stop publishing and end all connections. Closing twice does nothing."""
        self.background.close()
        self.sse.close()


def create_app(follow: Path | None = None, broker: str = "memory://", host: str = "127.0.0.1") -> Flask:
    """The demo's app. It publishes from now on, until `app.extensions[EXTENSION].close()`.

    follow: a file whose lines the page shows as they are written.
    broker: the URL of the broker.
    host:   the name or address under which it is served.

    Raises StreamyError if psutil is missing, the file can't be followed or the broker can't be used.
    """
    app = Flask(__name__, template_folder=".")
    app.config["STREAMY_BROKER_URL"] = broker
    app.config["STREAMY_RECONNECT_DELAY"] = RECONNECT_DELAY
    app.config["STREAMY_DELIVERY"] = "wsgi"  # a connection is cut by the server's own socket
    app.config["STREAMY_RUN_THREADS"] = MOST_RUNS
    app.config["MAX_CONTENT_LENGTH"] = _MOST_SENT
    guard(app, host)
    sse = StreamManager(app)
    try:
        demo = app.extensions[EXTENSION] = Demo(sse, follow)
    except BaseException:
        sse.close()
        raise
    app.register_blueprint(sse.blueprint)
    _add_page(app, demo)
    _add_streams(app, demo)
    _add_actions(app, demo)
    _add_runs(app, demo)
    app.register_error_handler(StreamyError, _refuse)
    return app


def run(
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    follow: Path | None = None,
    open_browser: bool = True,
    broker: str = "memory://",
) -> None:
    """Serve the demo until Ctrl-C, upon which it returns at once.

    Prints one line, with the page's address. Must be called in the main thread.

    host:   the address to listen on, or a name of it. Requests under another name are refused, so
            that no web site can read the followed file by a name of its own.
    port:   0 takes any that is free.
    follow: a file whose lines the page shows as they are written.
    open_browser: whether to open the page in the user's browser.
    broker: the broker's URL.

    Raises StreamyError, with the cure in its message, if the address can't be listened on, and as
    `create_app`.
    """
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listen(host, port))
        app = create_app(follow, broker, host)
        stack.callback(app.extensions[EXTENSION].close)
        port = listener.getsockname()[1]
        server = make_server(
            host, port, app, threaded=True, request_handler=_QuietHandler, fd=listener.fileno()
        )
        stack.callback(server.server_close)
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        click.echo(f"The Streamy demo is at {url} (Ctrl-C ends it)")
        if open_browser:
            # A thread of its own: some browsers keep `open` until they are closed.
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        server.serve_forever()


def newest(broker: Broker, stream: str, until: str, most: int, name: str) -> list[str]:
    """The data of the stream's newest events of this name, up to and including the entry `until`.

    Nothing if that entry isn't there: then `until` lies before all entries. Raises BrokerUnavailable.
    """
    kept: deque[str] = deque(maxlen=most)
    cursor = OLDEST
    while True:
        page = broker.read({stream: cursor}, _PAGE)[stream]
        for entry in page.entries:
            if entry.event.name == name:
                kept.append(entry.event.data)
            if entry.id == until:
                return list(kept)
        if page.cursor == cursor or not (page.entries or page.gap):
            return []
        cursor = page.cursor


def _add_page(app: Flask, demo: Demo) -> None:
    @app.get("/")
    def page() -> ResponseReturnValue:
        nonce = secrets.token_urlsafe(12)
        text = render_template(
            "page.html",
            nonce=nonce,
            streams=list(demo.streams),
            opening=demo.opening,
            client=secrets.token_urlsafe(9),
            name=f"{secrets.choice(_NAMES)} {secrets.randbelow(90) + 10}",
            follow=demo.follow,
            outage=demo.connections.outage,
            most_text=MOST_TEXT,
        )
        return text, {name: value.replace("{nonce}", nonce) for name, value in _HEADERS.items()}


def _add_streams(app: Flask, demo: Demo) -> None:
    @app.get("/events")
    def events() -> Response:
        client = request.args.get("client", "")
        connection: socket.socket | None = request.environ.get("werkzeug.socket")
        if connection is None:
            return demo.sse.get_stream(demo.streams)
        if demo.connections.is_cut_off(client):
            hang_up(connection)
            return Response(status=503)
        response = demo.sse.get_stream(demo.streams)
        demo.connections.add(client, connection)
        response.call_on_close(partial(demo.connections.discard, client, connection))
        return response

    @app.get("/countdown/<uuid:name>")
    def countdown(name: UUID) -> Response:
        return demo.sse.get_stream(f"countdown:{name}", after=OLDEST)


def _add_actions(app: Flask, demo: Demo) -> None:
    @app.post("/chat")
    def chat() -> ResponseReturnValue:
        message = _json_object()
        data = {
            "name": _text(message, "name", 40),
            "text": _text(message, "text", MOST_TEXT),
            "at": round(time.time() * 1000),
        }
        return {"id": demo.sse.send_event(CHAT, data, CHAT)}

    @app.post("/cut")
    def cut() -> ResponseReturnValue:
        if demo.connections.cut(request.args.get("client", "")):
            return "", 204
        return {"error": "there is no such connection"}, 404

    @app.post("/countdown")
    def start_countdown() -> ResponseReturnValue:
        name = demo.background.start_countdown()
        if name is None:
            return {"error": "too many countdowns are under way"}, 429
        return {"url": f"/countdown/{name}"}


def _add_runs(app: Flask, demo: Demo) -> None:
    @app.post("/run")
    def start_run() -> ResponseReturnValue:
        name = uuid4()
        demo.sse.start_run(f"run:{name}", story(), event_name="word", coalesce=0.05)
        url = f"/run/{name}"
        demo.sse.send_event(RUNS, {"url": url}, RUN)
        return {"url": url}

    @app.get("/run/<uuid:name>")
    def follow_run(name: UUID) -> ResponseReturnValue:
        if not demo.sse.exists(f"run:{name}"):
            return {"error": "there is no such run"}, 404
        return demo.sse.get_stream(f"run:{name}", after=OLDEST)

    @app.delete("/run/<uuid:name>")
    def stop_run(name: UUID) -> ResponseReturnValue:
        demo.sse.stop_run(f"run:{name}")
        return "", 202


def _json_object() -> dict[str, Any]:
    try:
        given: Any = request.get_json()
    except RecursionError:
        raise InvalidEvent("a message isn't nested") from None
    found: dict[str, Any] = given
    if not isinstance(given, dict):
        raise InvalidEvent("a message is an object with a name and a text")
    return found


def _text(message: dict[str, Any], field: str, most: int) -> str:
    text = message.get(field)
    if not isinstance(text, str) or not 1 <= len(text.strip()) <= most:
        raise InvalidEvent(f"a message's {field} has 1 to {most} characters")
    return text.strip()


def _refuse(error: StreamyError) -> ResponseReturnValue:
    return {"error": str(error)}, 400 if isinstance(error, InvalidEvent) else 503


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65_535:
        raise StreamyError(f"a port is a number from 0 to 65535, not {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StreamyError(
                f"port {port} is in use by another program: choose another with --port (0: any that is free)"
            ) from None
        raise StreamyError(f"can't listen on {host}, port {port}: {error.strerror}") from None


class _QuietHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: the demo says all it has to say on its page."""
