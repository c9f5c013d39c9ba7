"""An app that takes events from other programs by HTTP."""

import os
from hmac import compare_digest

from flask import Flask, Response, abort, request

from streamy_core import StreamManager

app = Flask(__name__)
sse = StreamManager(app)

AUTHORIZATION = f"Bearer {os.environ['PUBLISH_TOKEN']}"


@app.get("/stream")
def stream() -> Response:
    return sse.get_stream("orders")


@app.post("/publish/orders")
def publish() -> str:
    given = request.headers.get("Authorization", "")
    if not compare_digest(given.encode(), AUTHORIZATION.encode()):
        abort(403)
    key = request.headers.get("Idempotency-Key")
    return sse.send_event("orders", request.get_json(), idempotency_key=key) + "\n"
