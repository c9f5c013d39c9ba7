"""The app under test: streams from a broker, and how its hub does. STREAMY_BROKER_URL says which."""

from __future__ import annotations

import os
from dataclasses import asdict

from flask import Flask, Response, jsonify, request

from streamy_core import StreamManager
from streamy_core.strategies import FixedDelay


def create_app() -> Flask:
    app = Flask(__name__)
    sse = StreamManager(
        app, broker=os.environ["STREAMY_BROKER_URL"], retry=FixedDelay(0.1, retries=3), delivery="detached"
    )

    @app.get("/hello")
    def hello() -> str:
        return "hello"

    @app.get("/stream")
    def stream() -> Response:
        return sse.get_stream(request.args["id"])

    @app.get("/health")
    def health() -> Response:
        return jsonify(asdict(sse.health))

    return app
