"""An app whose clients' rights are in a table: 10,000 users, of whom each may read one stream."""

from __future__ import annotations

import json
import os
import sqlite3

from flask import Flask, Response, request

from streamy_core import StreamManager

USERS = 10_000

calls: list[int] = []


def prepare() -> None:
    """Make the table."""
    with sqlite3.connect(os.environ["RIGHTS"]) as connection:
        connection.execute("CREATE TABLE rights (user TEXT, stream TEXT, PRIMARY KEY (user, stream))")
        rows = [(f"user:{number}", "news") for number in range(USERS)]
        connection.executemany("INSERT INTO rights VALUES (?, ?)", rows)


def may_read_many(asked: list[tuple[str | None, tuple[str, ...]]]) -> list[set[str]]:
    """One query for all of them."""
    found: dict[str | None, set[str]] = {}
    with sqlite3.connect(os.environ["RIGHTS"]) as connection:
        users = json.dumps(list({key for key, _ in asked}))
        query = "SELECT user, stream FROM json_each(?) JOIN rights ON user = value"
        for user, stream in connection.execute(query, (users,)):
            found.setdefault(user, set()).add(stream)
    calls.append(len(asked))
    return [found.get(key, set()) for key, _ in asked]


app = Flask(__name__)
app.config.from_mapping(
    STREAMY_RECHECK_EVERY=float(os.environ.get("EVERY", "15")), STREAMY_RECHECK_MANY=may_read_many
)
sse = StreamManager(app)


@app.get("/hello")
def hello() -> str:
    return "hello"


@app.get("/stream")
def stream() -> Response:
    return sse.get_stream("news", key=request.args["key"])


@app.get("/calls")
def count_calls() -> list[int]:
    """How many were asked about by each call so far."""
    return calls


if __name__ == "__main__":
    prepare()
