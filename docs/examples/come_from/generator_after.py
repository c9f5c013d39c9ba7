"""An answer that comes word by word, by Streamy."""

import os
import secrets
import threading
from collections.abc import Iterator

from flask import Flask, Response, request, url_for

from streamy_core import OLDEST, StreamManager

app = Flask(__name__)
sse = StreamManager(app)


def answer(question: str) -> Iterator[str]:
    """What takes long. Each call is paid for."""
    yield f"[{os.urandom(4).hex()}]"
    yield from f"You ask: {question}".split()


def work(name: str, question: str) -> None:
    try:
        for word in answer(question):
            sse.send_event(f"answer:{name}", word, "word")
    except Exception as error:
        sse.send_event(f"answer:{name}", type(error).__name__, "failed")
        raise
    finally:
        sse.end_stream(f"answer:{name}")


@app.post("/answers")
def ask() -> dict[str, str]:
    name = secrets.token_urlsafe(16)  # nobody guesses it: who has the URL may read
    threading.Thread(target=work, args=(name, request.form["question"])).start()
    return {"stream": url_for("stream", name=name)}


@app.get("/answers/<name>")
def stream(name: str) -> Response:
    return sse.get_stream(f"answer:{name}", after=OLDEST)
