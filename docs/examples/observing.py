"""An app that counts what happens, for a monitoring system to fetch."""

import threading
from collections import Counter
from typing import Any

from flask import Flask, Response, request

from streamy_core import StreamManager
from streamy_core.observers import ClientInfo, DisconnectReason, GapCause, Observer, PublishOutcome


class Counts(Observer):
    """Counts what happens in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def published(self, stream_id: str, outcome: PublishOutcome, count: int, *how: Any) -> None:
        self._count(f"published {outcome}", count)

    def connected(self, client: ClientInfo, delivery: str) -> None:
        self._count(f"connected {delivery}")

    def disconnected(self, client: ClientInfo, delivery: str, reason: DisconnectReason) -> None:
        self._count(f"disconnected {reason}")

    def delivered(
        self, delivery: str, streams: tuple[str, ...], clients: int, size: int, events: int
    ) -> None:
        self._count(f"bytes {delivery}", clients * size)

    def gap(self, stream_id: str, cursor: str, goes_on: str, cause: GapCause) -> None:
        self._count(f"gap {cause}")

    def read_failed(self, error: Exception, delay: float | None) -> None:
        self._count("read failed")

    def text(self) -> str:
        """The counts in the text format of Prometheus."""
        with self._lock:
            counts = sorted(self._counts.items())
        lines = [f'streamy_total{{what="{what}"}} {count}' for what, count in counts]
        return "\n".join(["# TYPE streamy_total counter", *lines, ""])

    def _count(self, what: str, count: int = 1) -> None:
        with self._lock:
            self._counts[what] += count


counts = Counts()

app = Flask(__name__)
app.config["STREAMY_OBSERVERS"] = [counts]
sse = StreamManager(app)


@app.get("/stream")
def stream() -> Response:
    return sse.get_stream("news")


@app.get("/metrics")
def metrics() -> Response:
    return Response(counts.text(), content_type="text/plain; version=0.0.4")


@app.post("/send")
def send() -> str:
    return sse.send_event("news", request.form["text"]) + "\n"
