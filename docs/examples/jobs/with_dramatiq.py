"""An app whose jobs run in Dramatiq's workers: `dramatiq with_dramatiq`."""

import os
import secrets

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from flask import url_for
from job_app import app, work

from streamy_core import RunExists

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))
task = dramatiq.actor(work, max_retries=0, throws=RunExists)


@app.post("/jobs/<int:rows>")
def begin(rows: int) -> dict[str, str]:
    name = secrets.token_urlsafe(16)  # nobody guesses it: who has the URL may read, and stop
    task.send(name, rows)
    return {"stream": url_for("follow", name=name)}
