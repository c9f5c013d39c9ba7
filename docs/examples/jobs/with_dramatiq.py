"""An app whose jobs run in Dramatiq's workers: `dramatiq with_dramatiq`."""

import os
import secrets
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from flask import Flask, Response, url_for

from streamy_core import OLDEST, RunExists, StreamManager

app = Flask(__name__)
app.config.from_prefixed_env()  # FLASK_STREAMY_BROKER_URL: the same for the app and its workers
sse = StreamManager(app)
dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))


@dramatiq.actor(max_retries=0, throws=RunExists)
def work(name: str, rows: int) -> None:
    with sse.run(f"job:{name}", lease=3) as run:
        for done in range(rows):
            run.progress(done, total=rows)  # raises RunStopped, once somebody has stopped it
            time.sleep(0.05)  # the work
        run.progress(rows, total=rows)


@app.post("/jobs/<int:rows>")
def begin(rows: int) -> dict[str, str]:
    name = secrets.token_urlsafe(16)  # nobody guesses it: who has the URL may read, and stop
    work.send(name, rows)
    return {"stream": url_for("follow", name=name)}


@app.get("/jobs/<name>")
def follow(name: str) -> Response:
    return sse.get_stream(f"job:{name}", after=OLDEST)


@app.delete("/jobs/<name>")
def stop(name: str) -> tuple[str, int]:
    sse.stop_run(f"job:{name}")
    return "", 202
