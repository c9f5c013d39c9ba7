"""An app whose jobs run in RQ's workers: `rq worker --url $REDIS_URL`."""

import os
import secrets

from flask import url_for
from job_app import app, work
from redis import Redis
from rq import Queue

queue = Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))


@app.post("/jobs/<int:rows>")
def begin(rows: int) -> dict[str, str]:
    name = secrets.token_urlsafe(16)  # nobody guesses it: who has the URL may read, and stop
    queue.enqueue(work, name, rows)
    return {"stream": url_for("follow", name=name)}
