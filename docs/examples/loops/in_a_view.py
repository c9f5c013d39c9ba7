"""A loop that a view starts: once for each request."""

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
        by = f"{os.getpid()}/{threading.get_ident()}"
        sse.send_soon("clock", {"time": int(time.time()), "by": by})
        time.sleep(0.2)


@app.get("/stream")
def stream() -> Response:
    threading.Thread(target=loop, daemon=True).start()
    return sse.get_stream("clock")
