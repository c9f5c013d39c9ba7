"""The app whose runs are measured: each yields the time, and notes for how long it was held."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

from flask import Flask, request

from streamy_core import OLDEST, Event, StreamManager

app = Flask(__name__)
app.config["STREAMY_BROKER_URL"] = os.environ.get("BROKER_URL", "memory://")
sse = StreamManager(app)

held: list[float] = []
"""Seconds for which each producer was held by what it yielded to."""


@app.get("/hello")
def hello() -> str:
    return "hello"


@app.get("/stream/<name>")
def stream(name: str) -> object:
    return sse.get_stream(name, after=OLDEST)


@app.get("/start")
def start() -> str:
    args = request.args
    runs, count, rate = int(args["runs"]), int(args["count"]), float(args["rate"])
    for number in range(runs):
        name = f"{args['name']}{number}"
        if args["way"] == "bare":
            threading.Thread(target=append_each, args=(name, count, rate)).start()
        else:
            coalesce = None if args["way"] == "each" else float(args["way"])
            sse.start_run(name, tokens(count, rate), coalesce=coalesce)
    return "ok"


@app.get("/held")
def tell_held() -> str:
    told = str(sum(held))
    held.clear()
    return told


def tokens(count: int, rate: float) -> Iterator[str]:
    began = time.monotonic() + hash(threading.get_ident()) % 1_000 / 1_000 / rate
    spent = 0.0
    for number in range(count):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        before = time.perf_counter()
        yield f"{time.monotonic():.6f} "
        spent += time.perf_counter() - before
    held.append(spent)


def append_each(name: str, count: int, rate: float) -> None:
    """What a run would do at least, without any of it."""
    for token in tokens(count, rate):
        sse.broker.append(name, [Event(token)])
    sse.end_stream(name)
