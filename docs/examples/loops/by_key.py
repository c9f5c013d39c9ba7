"""A loop that runs in each worker, and publishes each second's event once."""

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
        now = int(time.time())
        sse.send_soon("clock", {"time": now, "by": os.getpid()}, idempotency_key=f"clock:{now}")
        time.sleep(0.2)


threading.Thread(target=loop, daemon=True).start()


@app.get("/stream")
def stream() -> Response:
    return sse.get_stream("clock")
