"""A score that pages follow, by a queue for each client."""

import json
from collections.abc import Iterator
from queue import Full, Queue

from flask import Flask, Response, request


class MessageAnnouncer:
    def __init__(self) -> None:
        self.listeners: list[Queue[str]] = []

    def listen(self) -> Queue[str]:
        listener: Queue[str] = Queue(maxsize=5)
        self.listeners.append(listener)
        return listener

    def announce(self, message: str) -> None:
        for listener in list(self.listeners):
            try:
                listener.put_nowait(message)
            except Full:
                self.listeners.remove(listener)


def score_event() -> str:
    return f"event: score\ndata: {json.dumps(score)}\n\n"


app = Flask(__name__)
announcer = MessageAnnouncer()
score = {"home": 0, "guests": 0}


@app.get("/stream")
def stream() -> Response:
    messages = announcer.listen()
    messages.put(score_event())  # the state, for whoever connects

    def events() -> Iterator[str]:
        while True:
            yield messages.get()

    return Response(events(), mimetype="text/event-stream")


@app.post("/goal")
def goal() -> str:
    score[request.form["side"]] += 1
    announcer.announce(score_event())
    return "noted\n"
