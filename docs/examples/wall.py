"""A wall: its newest notes, older ones on demand, and what comes, without hole or overlap."""

from flask import Flask, Response, render_template, request

from streamy_core import BEGINNING, Last, Since, StreamManager

app = Flask(__name__)
sse = StreamManager(app)
app.register_blueprint(sse.blueprint)  # serves streamy.js


@app.get("/")
def page() -> str:
    return render_template("wall.html")


@app.post("/notes")
def add() -> str:
    return sse.send_event("wall", {"text": request.form["text"]})


@app.get("/wall")
def wall() -> dict[str, object]:
    """Twenty notes, the oldest first; and where to go on, live and backwards."""
    return sse.history("wall", limit=20, before=request.args.get("before")).as_json()


@app.get("/wall/stream")
def stream() -> Response:
    """A client that brings no cursor begins with the newest twenty; the page below brings one."""
    return sse.get_stream("wall", after=Last(20))


@app.get("/alarms/stream")
def alarms() -> Response:
    return sse.get_stream("alarms", after=Since(600))


@app.get("/answers/<name>/stream")
def answer(name: str) -> Response:
    """All of an answer, whenever the page comes; if its beginning isn't kept any more, it is told."""
    return sse.get_stream(f"answer:{name}", after=BEGINNING)
