"""An app whose jobs run in Huey's consumer: `huey_consumer with_huey.huey -k process`."""

import os
import secrets

from flask import url_for
from huey import SqliteHuey
from job_app import app, work

huey = SqliteHuey(filename=os.environ["HUEY_FILE"])
task = huey.task()(work)


@app.post("/jobs/<int:rows>")
def begin(rows: int) -> dict[str, str]:
    name = secrets.token_urlsafe(16)  # nobody guesses it: who has the URL may read, and stop
    task(name, rows)
    return {"stream": url_for("follow", name=name)}
