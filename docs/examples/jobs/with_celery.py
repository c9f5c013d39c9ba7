"""An app whose jobs run in Celery's workers: `celery -A with_celery:celery worker`."""

import os
import secrets

from celery import Celery
from flask import url_for
from job_app import app, work

celery = Celery(__name__, broker=os.environ["CELERY_BROKER_URL"])
task = celery.task(work)


@app.post("/jobs/<int:rows>")
def begin(rows: int) -> dict[str, str]:
    name = secrets.token_urlsafe(16)  # nobody guesses it: who has the URL may read, and stop
    task.delay(name, rows)
    return {"stream": url_for("follow", name=name)}
