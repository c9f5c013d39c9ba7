"""An app that publishes by `send_soon`: so many numbers to a stream."""

from __future__ import annotations

import os

from flask import Flask

from streamy_core import StreamManager


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["STREAMY_BROKER_URL"] = os.environ["STREAMY_BROKER_URL"]
    sse = StreamManager(app)

    @app.get("/hello")
    def hello() -> str:
        return "hello"

    @app.post("/soon/<name>/<int:count>")
    def soon(name: str, count: int) -> str:
        for number in range(count):
            sse.send_soon(name, number)
        return "queued"

    return app
