"""Rooms whose members are rows of a table: who is removed from it, by whatever, reads no more."""

import json
import sqlite3

from flask import Flask, Response, abort, current_app, session

from streamy_core import StreamManager

Question = tuple[str | None, tuple[str, ...]]


def rooms_of(users: list[str | None]) -> dict[str | None, set[str]]:
    """The streams that each of these may read, by one query."""
    found: dict[str | None, set[str]] = {user: set() for user in users}
    query = "SELECT user, room FROM members JOIN json_each(?) ON user = value"
    with sqlite3.connect(current_app.config["ROOMS"]) as database:
        for user, room in database.execute(query, (json.dumps(users),)):
            found[user].add(f"room:{room}")
    return found


def may_read(asked: list[Question]) -> list[set[str]]:
    rooms = rooms_of([user for user, _ in asked])
    return [rooms[user] for user, _ in asked]


app = Flask(__name__)
app.config.from_mapping(SECRET_KEY="change me", ROOMS="rooms.db", STREAMY_RECHECK_MANY=may_read)
sse = StreamManager(app)


@app.get("/stream")
def stream() -> Response:
    user = session.get("user")
    rooms = sorted(rooms_of([user])[user])
    if not rooms:
        abort(403)
    return sse.get_stream(rooms, key=user)
