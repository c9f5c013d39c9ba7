"""News that every worker of the app may send, and every client gets."""

import os

from flask import Flask, Response, request

from streamy_core import StreamManager

app = Flask(__name__)
app.config["STREAMY_BROKER_URL"] = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
sse = StreamManager(app)


@app.get("/stream")
def stream() -> Response:
    return sse.get_stream("news")


@app.post("/send")
def send() -> str:
    return sse.send_event("news", {"text": request.form["text"]}) + "\n"
