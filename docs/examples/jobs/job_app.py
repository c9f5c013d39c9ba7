"""A job that tells how far it is, and the views of its stream: the same whatever works jobs."""

import time

from flask import Flask, Response

from streamy_core import OLDEST, StreamManager

app = Flask(__name__)
app.config.from_prefixed_env()  # FLASK_STREAMY_BROKER_URL: the same for the app and its workers
sse = StreamManager(app)


def work(name: str, rows: int) -> None:
    with sse.run(f"job:{name}", lease=3) as run:
        for done in range(rows):
            run.progress(done, total=rows)  # raises RunStopped, once somebody has stopped it
            time.sleep(0.05)  # the work
        run.progress(rows, total=rows)


@app.get("/jobs/<name>")
def follow(name: str) -> Response:
    return sse.get_stream(f"job:{name}", after=OLDEST)


@app.delete("/jobs/<name>")
def stop(name: str) -> tuple[str, int]:
    sse.stop_run(f"job:{name}")
    return "", 202
