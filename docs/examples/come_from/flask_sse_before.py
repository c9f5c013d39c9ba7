"""Notices, by flask-sse."""

import os

from flask import Flask, abort, request
from flask_sse import sse

app = Flask(__name__)
app.config["REDIS_URL"] = os.environ["REDIS_URL"]


@sse.before_request
def check_access() -> None:
    if request.args.get("channel") == "staff" and request.headers.get("X-User") != "ann":
        abort(403)


app.register_blueprint(sse, url_prefix="/stream")


@app.post("/notices/<channel>")
def send(channel: str) -> str:
    sse.publish({"text": request.form["text"]}, type="notice", id=request.form["id"], channel=channel)
    return "sent\n"
