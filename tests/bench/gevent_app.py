"""What people write who have gevent and no library: a queue for each client. Asked as `app.py` is."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator

import gevent
from flask import Flask, Response, request
from gevent.queue import Queue

from .floor import payload
from .turns import in_turns

app = Flask(__name__)
queues: defaultdict[str, set[Queue[str]]] = defaultdict(set)


@app.get("/stream")
def stream() -> Response:
    return Response(follow(request.args["id"]), mimetype="text/event-stream")


def follow(stream_id: str) -> Iterator[str]:
    queue: Queue[str] = Queue()
    queues[stream_id].add(queue)
    try:
        yield ": open\n\n"
        while True:
            yield f"data: {queue.get()}\n\n"
    finally:
        queues[stream_id].discard(queue)


@app.get("/publish-in-turns")
def publish() -> str:
    args = request.args
    gevent.spawn(run, int(args["streams"]), int(args["n"]), float(args["rate"]))
    return "ok"


def run(streams: int, count: int, rate: float) -> None:
    for name in in_turns(streams, count, rate, time.sleep):
        for queue in queues[name]:
            queue.put(payload())
