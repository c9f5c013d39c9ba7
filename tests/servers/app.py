"""The app under test. What varies comes from the environment, so that any server can run it.

STREAMY_BROKER_URL, STREAMY_DELIVERY, STREAMY_WSGI_SLOTS, STREAMY_KEEP_ALIVE and
STREAMY_RECONNECT_DELAY are the keys of those names; BROKER_HISTORY is how many entries the broker
keeps of a stream.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request

from streamy_core import StreamEnded, StreamManager


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.update(_settings())
    sse = StreamManager(app)
    meetings: dict[int, threading.Barrier] = {}
    meetings_lock = threading.Lock()
    calls: defaultdict[str, int] = defaultdict(int)

    @app.get("/hello")
    def hello() -> str:
        return "hello"

    @app.get("/stream")
    def stream() -> Response:
        calls[request.args["ids"]] += 1
        names = request.args["ids"].split(",")
        if keep_alive := request.args.get("keep_alive", type=float):
            return sse.get_stream(names, keep_alive_interval=keep_alive)
        return sse.get_stream(names)

    @app.post("/send/<path:name>")
    def send(name: str) -> str:
        return sse.send_event(name, request.get_data(as_text=True), request.args.get("name"))

    @app.post("/batch/<path:name>")
    def batch(name: str) -> Response:
        return jsonify(sse.send_events(name, request.get_json()))

    @app.post("/end/<path:name>")
    def end(name: str) -> str:
        sse.end_stream(name)
        return "ended"

    @app.get("/cursor/<path:name>")
    def cursor(name: str) -> str:
        return sse.cursor(name.split(","))

    @app.get("/calls/<path:names>")
    def count_calls(names: str) -> Response:
        """How often /stream has been asked for these."""
        return jsonify(calls[names])

    @app.get("/meet/<int:count>")
    def meet(count: int) -> str:
        """Answer when so many of these requests are being served at once: the server's pool is full then."""
        with meetings_lock:
            meeting = meetings.setdefault(count, threading.Barrier(count, timeout=10))
        meeting.wait()
        return "met"

    @app.get("/stats")
    def stats() -> Response:
        return jsonify(
            threads=len(list(Path("/proc/self/task").iterdir())) + _greenlets(),
            descriptors=len(list(Path("/proc/self/fd").iterdir())),
            streams=sse.health.streams,
            pid=os.getpid(),
        )

    @app.errorhandler(StreamEnded)
    def ended(error: StreamEnded) -> tuple[str, int]:
        return str(error), 409

    return app


def _settings() -> dict[str, Any]:
    kinds = {
        "STREAMY_BROKER_URL": str,
        "STREAMY_DELIVERY": str,
        "STREAMY_WSGI_SLOTS": int,
        "STREAMY_KEEP_ALIVE": float,
        "STREAMY_RECONNECT_DELAY": float,
    }
    settings: dict[str, Any] = {
        key: kind(os.environ[key]) for key, kind in kinds.items() if key in os.environ
    }
    if "BROKER_HISTORY" in os.environ:
        settings["STREAMY_BROKER_OPTIONS"] = {"history": int(os.environ["BROKER_HISTORY"])}
    return settings


def _greenlets() -> int:
    """Greenlets that are alive, in a process whose threads gevent has made greenlets."""
    if "gevent.monkey" not in sys.modules or not sys.modules["gevent.monkey"].is_module_patched("threading"):
        return 0
    from greenlet import greenlet  # type: ignore[import-untyped]

    return sum(isinstance(thing, greenlet) and not thing.dead for thing in gc.get_objects())
