"""A loop that one worker of a machine runs, and another if that one ends."""

import fcntl
import os
import threading
import time
from pathlib import Path

from flask import Flask, Response

from streamy_core import StreamManager

app = Flask(__name__)
app.config.from_prefixed_env()
sse = StreamManager(app)


def loop() -> None:
    with Path(app.config["LOOP_LOCK"]).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits; the system frees it when its process ends, however it does
        while True:
            sse.send_soon("clock", {"time": int(time.time()), "by": os.getpid()})
            time.sleep(0.2)


def start() -> None:
    threading.Thread(target=loop, daemon=True).start()


@app.get("/stream")
def stream() -> Response:
    return sse.get_stream("clock")
