"""An app whose jobs run in RQ's workers: `rq worker --url $REDIS_URL`."""

import os
import secrets
import time

from flask import Flask, Response, url_for
from redis import Redis
from rq import Queue

from streamy_core import OLDEST, StreamManager

app = Flask(__name__)
app.config.from_prefixed_env()  # FLASK_STREAMY_BROKER_URL: the same for the app and its workers
sse = StreamManager(app)
queue = Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))


def work(name: str, rows: int) -> None:
    with sse.run(f"job:{name}", lease=3) as run:
        for done in range(rows):
            run.progress(done, total=rows)  # raises RunStopped, once somebody has stopped it
            time.sleep(0.05)  # the work
        run.progress(rows, total=rows)


@app.post("/jobs/<int:rows>")
def begin(rows: int) -> dict[str, str]:
    name = secrets.token_urlsafe(16)  # nobody guesses it: who has the URL may read, and stop
    queue.enqueue("with_rq.work", name, rows)
    return {"stream": url_for("follow", name=name)}


@app.get("/jobs/<name>")
def follow(name: str) -> Response:
    return sse.get_stream(f"job:{name}", after=OLDEST)


@app.delete("/jobs/<name>")
def stop(name: str) -> tuple[str, int]:
    sse.stop_run(f"job:{name}")
    return "", 202
