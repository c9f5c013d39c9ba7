"""The app that several workers serve. STREAMY_BROKER_URL says where its streams are.

Every answer says in the header X-Worker whose it is.
"""

from __future__ import annotations

import os

from flask import Flask, Response, request

from streamy_core import StreamManager


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.update(
        STREAMY_BROKER_URL=os.environ["STREAMY_BROKER_URL"],
        STREAMY_DELIVERY="detached",
        STREAMY_RECONNECT_DELAY=0.1,
    )
    sse = StreamManager(app)

    @app.after_request
    def sign(response: Response) -> Response:
        response.headers["X-Worker"] = str(os.getpid())
        return response

    @app.get("/hello")
    def hello() -> str:
        return "hello"

    @app.get("/stream")
    def stream() -> Response:
        return sse.get_stream(request.args["ids"].split(","), key=request.args.get("key"))

    @app.post("/publish")
    def publish() -> str:
        """Publish so many events, one by one; each names its publisher."""
        for number in range(int(request.args["count"])):
            sse.send_event(request.args["id"], f"{request.args['who']} {number}")
        return "published"

    @app.post("/end")
    def end() -> str:
        sse.end_stream(request.args["id"])
        return "ended"

    return app
