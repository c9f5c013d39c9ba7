"""A loop that is a process of its own: `flask --app command clock`."""

import os
import time

from flask import Flask, Response

from streamy_core import StreamManager

app = Flask(__name__)
app.config.from_prefixed_env()
sse = StreamManager(app)


@app.cli.command("clock")
def clock() -> None:
    """Publish the time."""
    while True:
        sse.send_soon("clock", {"time": int(time.time()), "by": os.getpid()})
        time.sleep(0.2)


@app.get("/stream")
def stream() -> Response:
    return sse.get_stream("clock")
