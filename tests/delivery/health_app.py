"""An app whose event loop can be made to stand still, and that looks at its own readiness while it stops."""

from __future__ import annotations

import threading
import time

from flask import Flask, Response, jsonify

from streamy_core import StreamManager
from streamy_core.observers import Observer

from ..support.app import create_app as create_plain_app

HELD = 5.0
"""Seconds at most."""


class Holding(Observer):
    """Holds the thread that delivers "hold", until it is told to go on."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def delivered(
        self, delivery: str, streams: tuple[str, ...], clients: int, size: int, events: int
    ) -> None:
        if "hold" in streams and clients:
            self.over.wait(4 * HELD)


def create_app() -> Flask:
    """The app: see the module."""
    holding = Holding()
    app = create_plain_app(STREAMY_OBSERVERS=[holding])
    sse: StreamManager = app.extensions["streamy"]["default"]
    app.register_blueprint(sse.blueprint)

    @app.post("/go-on")
    def go_on() -> str:
        holding.over.set()
        return "gone on"

    @app.get("/ready-while-stopping")
    def ready_while_stopping() -> Response:
        """The first answer of this process that isn't "ready"; the last, if all are."""
        print("looking until it stops", flush=True)
        until = time.monotonic() + HELD
        while True:
            answer = app.test_client().get("/streamy/ready")
            if answer.status_code != 200 or time.monotonic() > until:
                return jsonify(answer.get_json())
            time.sleep(0.02)

    return app
