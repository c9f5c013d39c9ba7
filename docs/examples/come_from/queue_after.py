"""A score that pages follow, by Streamy."""

from typing import Any

from flask import Flask, Response, request

from streamy_core import StreamManager

app = Flask(__name__)
sse = StreamManager(app)
score = {"home": 0, "guests": 0}


@app.get("/score")
def current() -> dict[str, Any]:
    cursor = sse.cursor("score")  # first: what comes after it is in the stream, if not in the score
    return {"score": score, "cursor": cursor}


@app.get("/stream")
def stream() -> Response:
    return sse.get_stream("score")


@app.post("/goal")
def goal() -> str:
    score[request.form["side"]] += 1
    sse.send_event("score", score, "score")
    return "noted\n"
