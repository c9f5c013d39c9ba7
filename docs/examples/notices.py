"""A notice for each member of a room, in a stream of their own."""

from collections.abc import Iterable

from flask import Flask, Response

from streamy_core import PublishFailed, StreamManager

app = Flask(__name__)
sse = StreamManager(app)


@app.get("/users/<int:user>/stream")
def stream(user: int) -> Response:
    return sse.get_stream(f"user:{user}", key=f"user:{user}")


def notify(users: Iterable[int], text: str) -> int:
    """How many have it."""
    streams = [f"user:{user}" for user in users]
    try:
        return len(sse.broadcast(streams, {"text": text}, "notice"))
    except PublishFailed as failure:
        app.logger.error("%s", failure)
        return len(failure.stored)
