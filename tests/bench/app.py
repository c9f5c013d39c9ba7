"""The app under measure: publishing happens on a thread of its own, as a worker's would."""

from __future__ import annotations

import os
import threading
import time

from flask import Flask, request

from streamy_core import StreamManager

from .floor import payload
from .turns import in_turns

app = Flask(__name__)
app.config["STREAMY_BROKER_URL"] = os.environ.get("BROKER_URL", "memory://")
app.config["STREAMY_BROKER_OPTIONS"] = {"history": 5_000}
app.config["STREAMY_METRICS"] = os.environ.get("METRICS")
app.config["STREAMY_OVERVIEW"] = os.environ.get("OVERVIEW")
sse = StreamManager(app)
app.register_blueprint(sse.blueprint)


@app.get("/hello")
def hello() -> str:
    return "hello"


@app.get("/stream")
def stream() -> object:
    return sse.get_stream(request.args.getlist("id"))


@app.get("/publish")
def publish() -> str:
    args = request.args
    streams = args.getlist("id") or [f"s{i}" for i in range(int(args.get("streams", 1)))]
    threading.Thread(target=run, args=(streams, int(args["n"]), float(args["rate"]))).start()
    return "ok"


@app.post("/publish-one")
def publish_one() -> str:
    return sse.send_event("s0", payload())


@app.get("/publish-in-turns")
def publish_in_turns() -> str:
    args = request.args
    turns = in_turns(int(args["streams"]), int(args["n"]), float(args["rate"]), time.sleep)
    threading.Thread(target=lambda: [sse.send_event(name, payload()) for name in turns]).start()
    return "ok"


def run(streams: list[str], count: int, rate: float) -> None:
    start = time.monotonic()
    for i in range(count):
        pause = start + i / rate - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        for name in streams:
            sse.send_event(name, payload())
