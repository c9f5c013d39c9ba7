"""An answer that comes piece by piece, whoever reads it; and a long job that says how far it is."""

import time
from collections.abc import Iterable, Iterator
from uuid import uuid4

from flask import Flask, Response, abort, request

from streamy_core import OLDEST, StreamManager

sse = StreamManager()


def answer(question: str) -> Iterator[str]:
    """What a model would say, a word at a time."""
    try:
        for word in f"You asked: {question}".split():
            yield f"{word} "
            time.sleep(0.02)
    finally:
        pass  # close what was opened: this runs when the run is stopped, too


def create_app(config: dict[str, object] | None = None) -> Flask:
    app = Flask(__name__)
    app.config.update(config or {})
    sse.init_app(app)

    @app.post("/chat")
    def ask() -> tuple[dict[str, str], int]:
        name = str(uuid4())
        sse.start_run(f"chat:{name}", answer(request.form["q"]), event_name="token", coalesce=0.05)
        return {"chat": name}, 202

    @app.get("/chat/<name>")
    def follow(name: str) -> Response:
        if not sse.exists(f"chat:{name}"):
            abort(404)
        return sse.get_stream(f"chat:{name}", after=OLDEST)

    @app.post("/chat/<name>/stop")
    def stop(name: str) -> tuple[str, int]:
        sse.stop_run(f"chat:{name}")
        return "", 202

    return app


def import_rows(job: str, rows: list[str]) -> None:
    """In a worker, or a script."""
    with sse.run(f"job:{job}") as run:
        for number, row in enumerate(rows, 1):
            save(row)
            run.progress(number, total=len(rows))
            run.raise_if_stopped()


def ask_elsewhere(job: str, rows: Iterable[str]) -> None:
    """On the calling thread, whichever that is."""
    sse.start_run(f"job:{job}", rows, executor=False).drain()


def save(row: str) -> None:
    """Do the work."""
