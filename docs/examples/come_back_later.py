"""A view that can't answer now has browsers come back; one whose stream never was says 404."""

import os
from pathlib import Path

from flask import Flask, Response, abort, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import OperationalError

from streamy_core import StreamManager

URL = os.environ.get("DATABASE_URL", f"sqlite:///{Path(__file__).resolve().parent}/orders.db")

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = URL
app.config["STREAMY_BROKER_URL"] = URL
db = SQLAlchemy(app)
sse = StreamManager(app)


class Order(db.Model):
    id = db.Column(db.Integer, primary_key=True)


@app.errorhandler(OperationalError)
def database_is_away(error: OperationalError) -> Response:
    if "text/event-stream" not in request.accept_mimetypes.values():
        raise error  # pages and forms get their 500
    app.logger.error("clients are told to come back: %s", error)
    return sse.try_later()


@app.get("/orders/<int:number>/stream")
def stream(number: int) -> Response:
    db.get_or_404(Order, number)
    return sse.get_stream(f"order:{number}")


@app.get("/answers/<name>")
def answer(name: str) -> Response:
    if not sse.exists(f"answer:{name}"):
        abort(404)
    return sse.get_stream(f"answer:{name}")
