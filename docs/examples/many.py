"""One connection for all that a user is to see."""

from typing import Any

from flask import Flask, Response

from streamy_core import StreamManager

app = Flask(__name__)
sse = StreamManager(app)


@app.get("/users/<int:user>/stream")
def stream(user: int) -> Response:
    return sse.get_stream(["news", f"user:{user}"], key=f"user:{user}")


def publish_news(text: str) -> str:
    return sse.send_event("news", {"text": text}, "news")


def notify(user: int, **what: Any) -> str:
    return sse.send_event(f"user:{user}", what, "notice")
