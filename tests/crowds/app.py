"""The app under test. What varies comes from the environment.

STREAMY_DELIVERY, STREAMY_KEEP_ALIVE, STREAMY_RECONNECT_DELAY, STREAMY_WSGI_SLOTS are the keys of
those names; STREAMY_SLOW_CLIENT_POLICY is how many seconds a client may take nothing, or SKIP_BEYOND
by how many entries it may be behind before it skips to the latest. BROKER_FILE is the file of a
broker that survives this process; without it, it is memory.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request

from streamy_core import StreamManager
from streamy_core.strategies.slow_clients import (
    Disconnect,
    Lag,
    SkipToLatest,
    SlowClientPolicy,
    Verdict,
)

from ..cli.file_broker import FileBroker


class Noting:
    """A policy that notes when it was asked last: somebody was behind then."""

    def __init__(self, policy: SlowClientPolicy) -> None:
        self._policy = policy
        self._asked_at = float("-inf")

    def decide(self, lag: Lag) -> Verdict:
        self._asked_at = time.monotonic()
        return self._policy.decide(lag)

    @property
    def asked(self) -> bool:
        """Whether it was asked lately; it is, once a second, while somebody is behind."""
        return time.monotonic() - self._asked_at < 1.5


def create_app() -> Flask:
    app = Flask(__name__)
    policy = Noting(_policy())
    app.config.update(_settings(), STREAMY_SLOW_CLIENT_POLICY=policy)
    file = os.environ.get("BROKER_FILE")
    sse = StreamManager(app, broker=FileBroker(Path(file)) if file else None)
    meetings: dict[int, threading.Barrier] = {}
    meetings_lock = threading.Lock()

    @app.get("/hello")
    def hello() -> str:
        return "hello"

    @app.get("/stream")
    def stream() -> Response:
        return sse.get_stream(request.args["id"])

    @app.post("/publish")
    def publish() -> str:
        """Publish `count` events of `size` characters, `rate` a second, on a thread of their own.

        Each begins with the time at which it was published.
        """
        name, count, size = request.args["id"], int(request.args["count"]), int(request.args["size"])
        pause = 1 / float(request.args["rate"])

        def run() -> None:
            start = time.monotonic()
            for number in range(count):
                time.sleep(max(0.0, start + number * pause - time.monotonic()))
                sse.send_event(name, f"{time.monotonic():.6f} ".ljust(size, "."))

        threading.Thread(target=run).start()
        return "begun"

    @app.get("/meet/<int:count>")
    def meet(count: int) -> str:
        """Answer when so many of these requests are being served at once: the server's pool is full then."""
        with meetings_lock:
            meeting = meetings.setdefault(count, threading.Barrier(count, timeout=10))
        meeting.wait()
        return "met"

    @app.get("/stats")
    def stats() -> Response:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return jsonify(
            threads=len(list(Path("/proc/self/task").iterdir())),
            descriptors=len(list(Path("/proc/self/fd").iterdir())),
            streams=sse.health.streams,
            clients=len(sse.binding.delivery),
            resident=pages * resource.getpagesize(),
            behind=policy.asked,
        )

    return app


def _policy() -> SlowClientPolicy:
    if entries := os.environ.get("SKIP_BEYOND"):
        return SkipToLatest(entries=int(entries))
    return Disconnect(seconds=float(os.environ.get("STREAMY_SLOW_CLIENT_POLICY", "20")))


def _settings() -> dict[str, Any]:
    kinds = {
        "STREAMY_DELIVERY": str,
        "STREAMY_KEEP_ALIVE": float,
        "STREAMY_RECONNECT_DELAY": float,
        "STREAMY_WSGI_SLOTS": int,
    }
    return {key: kind(os.environ[key]) for key, kind in kinds.items() if key in os.environ}
