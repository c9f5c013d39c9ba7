"""News that a page shows as it comes."""

from flask import Flask, Response, render_template, request

from streamy_core import OLDEST, StreamManager

app = Flask(__name__)
sse = StreamManager(app)
app.register_blueprint(sse.blueprint)


@app.get("/")
def page() -> str:
    return render_template("first_app.html")


@app.get("/stream")
def stream() -> Response:
    return sse.get_stream("news", after=OLDEST)


@app.post("/send")
def send() -> str:
    return sse.send_event("news", {"text": request.form["text"]}) + "\n"


@app.post("/cut")
def cut() -> str:
    sse.disconnect(stream_id="news")
    return "cut\n"
