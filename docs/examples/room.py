"""A chat room: its messages are kept, and who is typing is only for now."""

from flask import Flask, Response, render_template, request

from streamy_core import Last, StreamManager

app = Flask(__name__)
sse = StreamManager(app)
app.register_blueprint(sse.blueprint)  # serves streamy.js


@app.get("/")
def page() -> str:
    return render_template("room.html")


@app.post("/messages")
def say() -> str:
    return sse.send_event("room", {"text": request.form["text"]})


@app.post("/typing")
def typing() -> tuple[str, int]:
    sse.send_event("room:typing", {"who": request.form["who"]}, "typing", expires=3)
    return "", 202


@app.get("/stream")
def stream() -> Response:
    return sse.get_stream(["room", "room:typing"], after=Last(50))
