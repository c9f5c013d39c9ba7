"""Notices, by Streamy."""

import os

from flask import Flask, Response, abort, request

from streamy_core import StreamManager

CHANNELS = ("news", "staff")

app = Flask(__name__)
app.config["STREAMY_BROKER_URL"] = os.environ["REDIS_URL"]
sse = StreamManager(app)


@app.get("/stream")
def stream() -> Response:
    channel = request.args.get("channel", "news")
    if channel not in CHANNELS:
        abort(404)
    if channel == "staff" and request.headers.get("X-User") != "ann":
        abort(403)
    return sse.get_stream(channel)


@app.post("/notices/<channel>")
def send(channel: str) -> str:
    own_id = request.form["id"]
    sse.send_event(channel, {"id": own_id, "text": request.form["text"]}, "notice", idempotency_key=own_id)
    return "sent\n"
