"""A loop that starts when the module is imported: once in each process that imports it."""

import os
import threading
import time

from flask import Flask, Response

from streamy_core import StreamManager

app = Flask(__name__)
app.config.from_prefixed_env()
sse = StreamManager(app)


def loop() -> None:
    while True:
        sse.send_soon("clock", {"time": int(time.time()), "by": os.getpid()})
        time.sleep(0.2)


threading.Thread(target=loop, daemon=True).start()


@app.get("/stream")
def stream() -> Response:
    return sse.get_stream("clock")
