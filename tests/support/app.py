"""The app under test. What varies comes from the environment, so that any server can run it.

Each variable `STREAMY_…` is the setting of that name, read as JSON where it is any: `STREAMY_KEEP_ALIVE=0.1`,
`STREAMY_BROKER_OPTIONS={"history": 5}`. Every answer says in the header X-Worker which process it is from.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
import time
from collections import defaultdict
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from flask import Config, Flask, Response, jsonify, request

from streamy_core import StreamEnded, StreamManager
from streamy_core.manager import EXTENSION
from streamy_core.strategies import FixedDelay

SOON: Final = FixedDelay(0.1, retries=3)
"""A retry policy for servers whose backend comes back soon."""


def create_app(**settings: Any) -> Flask:
    """The app. settings: further ones; they win."""
    app = Flask(__name__)
    app.config.update({"SECRET_KEY": "of the tests", **settings_in_environment(), **settings})
    sse = StreamManager(app)
    calls: defaultdict[str, int] = defaultdict(int)
    meetings = Meetings()

    @app.after_request
    def sign(response: Response) -> Response:
        response.headers["X-Worker"] = str(os.getpid())
        return response

    @app.get("/hello")
    def hello() -> str:
        return "hello"

    @app.get("/stream")
    def stream() -> Response:
        calls[request.args["ids"]] += 1
        names = request.args["ids"].split(",")
        own: dict[str, Any] = {"key": request.args.get("key")}
        if keep_alive := request.args.get("keep_alive", type=float):
            own["keep_alive_interval"] = keep_alive
        if (until := request.args.get("until", type=float)) and "Last-Event-ID" not in request.headers:
            own["until"] = datetime.fromtimestamp(until, UTC)
        return sse.get_stream(names, **own)

    @app.get("/grant")
    def grant() -> str:
        return sse.grant(request.args["ids"].split(","), key=request.args.get("key"))

    @app.get("/granted")
    def granted() -> Response:
        return sse.get_stream(sse.granted().streams)

    @app.post("/disconnect/<key>")
    def disconnect_key(key: str) -> str:
        sse.disconnect(key=key)
        return "revoked"

    @app.post("/send/<path:name>")
    def send(name: str) -> str:
        return sse.send_event(name, request.get_data(as_text=True), request.args.get("name"))

    @app.post("/batch/<path:name>")
    def batch(name: str) -> Response:
        return jsonify(sse.send_events(name, request.get_json()))

    @app.post("/publish/<path:name>")
    def publish(name: str) -> str:
        """Publish `count` events of `size` characters, `rate` a second, on a thread of their own.

        Each begins with the time at which it was published.
        """
        count, size = int(request.args["count"]), int(request.args["size"])
        pause = 1 / float(request.args["rate"])

        def run() -> None:
            start = time.monotonic()
            for number in range(count):
                time.sleep(max(0.0, start + number * pause - time.monotonic()))
                sse.send_event(name, f"{time.monotonic():.6f} ".ljust(size, "."))

        threading.Thread(target=run).start()
        return "begun"

    @app.post("/end/<path:name>")
    def end(name: str) -> str:
        sse.end_stream(name)
        return "ended"

    @app.get("/cursor/<path:names>")
    def cursor(names: str) -> str:
        return sse.cursor(names.split(","))

    @app.get("/calls/<path:names>")
    def count_calls(names: str) -> Response:
        """How often /stream has been asked for these."""
        return jsonify(calls[names])

    @app.get("/meet/<int:count>")
    def meet(count: int) -> str:
        """Answer when so many of these requests are being served at once: the server's pool is full then."""
        meetings.of(count).wait()
        return "met"

    @app.get("/stats")
    def stats() -> Response:
        return jsonify(**held_by_this_process(), streams=sse.health.streams, clients=clients_of(sse))

    @app.get("/health")
    def health() -> Response:
        return jsonify(asdict(sse.health))

    @app.errorhandler(StreamEnded)
    def ended(error: StreamEnded) -> tuple[str, int]:
        return str(error), 409

    return app


def manager_of(app: Flask) -> StreamManager:
    """The app's own manager."""
    manager = app.extensions[EXTENSION]["default"]
    assert isinstance(manager, StreamManager)
    return manager


def settings_in_environment() -> dict[str, Any]:
    """What the environment sets."""
    config = Config(Path.cwd())
    config.from_prefixed_env("STREAMY")
    return {f"STREAMY_{name}": value for name, value in config.items()}


class Meetings:
    """Barriers for so many threads, made once."""

    def __init__(self) -> None:
        self._barriers: dict[int, threading.Barrier] = {}
        self._lock = threading.Lock()

    def of(self, count: int) -> threading.Barrier:
        with self._lock:
            return self._barriers.setdefault(count, threading.Barrier(count, timeout=10))


def clients_of(sse: StreamManager) -> int:
    """How many clients this process keeps."""
    return len(sse.binding.delivery)


def held_by_this_process() -> dict[str, int]:
    """What it takes up: threads and greenlets, descriptors, bytes of memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "threads": len(list(Path("/proc/self/task").iterdir())) + _greenlets(),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "resident": pages * resource.getpagesize(),
    }


def _greenlets() -> int:
    """Greenlets that are alive, in a process whose threads gevent has made greenlets."""
    if "gevent.monkey" not in sys.modules or not sys.modules["gevent.monkey"].is_module_patched("threading"):
        return 0
    from greenlet import greenlet  # type: ignore[import-untyped]

    return sum(isinstance(thing, greenlet) and not thing.dead for thing in gc.get_objects())
