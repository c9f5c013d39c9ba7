"""Messages that are stored and published in one transaction: both are there, or neither."""

import os
from pathlib import Path

from flask import Flask, Response, request
from flask_sqlalchemy import SQLAlchemy

from streamy_core import StreamManager

URL = os.environ.get("DATABASE_URL", f"sqlite:///{Path(__file__).resolve().parent}/messages.db")

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = URL
app.config["STREAMY_BROKER_URL"] = URL
db = SQLAlchemy(app)
sse = StreamManager(app)


class Message(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    text = db.Column(db.Text, nullable=False)


@app.cli.command("create-tables")
def create_tables() -> None:
    db.create_all()


@app.get("/stream")
def stream() -> Response:
    return sse.get_stream("messages")


@app.post("/send")
def send() -> str:
    message = Message(text=request.form["text"])
    db.session.add(message)
    db.session.flush()  # the database gives it its id
    event = {"id": message.id, "text": message.text}
    sent = sse.send_event("messages", event, session=db.session)
    db.session.commit()
    return f"{sent}\n"
