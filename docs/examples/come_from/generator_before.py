"""An answer that comes word by word, by a generator."""

import os
from collections.abc import Iterator

from flask import Flask, Response, request, stream_with_context

app = Flask(__name__)


def answer(question: str) -> Iterator[str]:
    """What takes long. Each call is paid for."""
    yield f"[{os.urandom(4).hex()}]"
    yield from f"You ask: {question}".split()


@app.get("/answer")
def stream() -> Response:
    @stream_with_context
    def events() -> Iterator[str]:
        for word in answer(request.args["question"]):
            yield f"event: word\ndata: {word}\n\n"
        yield "event: done\ndata:\n\n"

    return Response(events(), mimetype="text/event-stream")
