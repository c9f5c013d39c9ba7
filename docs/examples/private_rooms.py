"""Rooms whose members read what came since they joined, and nothing from before.

flask --app private_rooms run
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from flask import Flask, Response, abort, redirect, render_template, request, session
from sign_in import sign_in_form, signed_in

from streamy_core import StreamManager

HERE = Path(__file__).resolve().parent
MEMBERS = os.environ.get("MEMBERS", f"{HERE}/members.db")

app = Flask(__name__)
app.config.from_mapping(
    SECRET_KEY="change me",
    SESSION_COOKIE_SAMESITE="Lax",
    STREAMY_BROKER_URL=os.environ.get("BROKER_URL", f"sqlite:///{HERE}/rooms.db"),
)
sse = StreamManager(app)
app.register_blueprint(sse.blueprint)
app.register_blueprint(sign_in_form)


def database() -> closing[sqlite3.Connection]:
    db = sqlite3.connect(MEMBERS, isolation_level=None)
    db.execute(
        "CREATE TABLE IF NOT EXISTS members (room TEXT, user TEXT, joined TEXT, PRIMARY KEY (room, user))"
    )
    return closing(db)


def stream_of(room: str) -> str:
    return f"room:{room}"


def joined(room: str) -> str:
    """The cursor at which the user of this request has joined the room."""
    with database() as db:
        row = db.execute(
            "SELECT joined FROM members WHERE room = ? AND user = ?", (room, signed_in())
        ).fetchone()
    if row is None:
        abort(403)
    return str(row[0])


@app.get("/")
def index() -> str:
    return render_template("private_rooms.html" if "user" in session else "sign_in.html")


@app.post("/rooms/<room>/join")
def join(room: str) -> Any:
    # Here an app asks whether the user may join at all.
    member = (room, signed_in(), sse.cursor(stream_of(room)))
    with database() as db:
        db.execute("INSERT INTO members VALUES (?, ?, ?) ON CONFLICT DO NOTHING", member)
    return redirect(f"/rooms/{room}")


@app.post("/rooms/<room>/leave")
def leave(room: str) -> Any:
    user = signed_in()
    with database() as db:
        db.execute("DELETE FROM members WHERE room = ? AND user = ?", (room, user))
    sse.disconnect(stream_id=stream_of(room), key=user)
    return redirect("/")


@app.get("/rooms/<room>")
def page(room: str) -> str:
    joined(room)
    return render_template("private_room.html", room=room)


@app.get("/rooms/<room>/stream")
def stream(room: str) -> Response:
    since = joined(room)
    return sse.get_stream(stream_of(room), after=since, floor=since, key=signed_in())


@app.post("/rooms/<room>/messages")
def send(room: str) -> str:
    joined(room)
    return sse.send_event(stream_of(room), {"user": signed_in(), "text": request.form["text"]})


@app.cli.command("begin-anew")
@click.argument("room")
def begin_anew(room: str) -> None:
    """After a loss of the room's history: its members read what comes from now on."""
    with database() as db:
        db.execute("UPDATE members SET joined = ? WHERE room = ?", (sse.cursor(stream_of(room)), room))
