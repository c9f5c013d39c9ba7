"""News, by Streamy."""

from flask import Flask, Response, request

from streamy_core import StreamManager

app = Flask(__name__)
sse = StreamManager(app)


@app.get("/stream")
def stream() -> Response:
    return sse.get_stream("news")


@app.post("/send")
def send() -> str:
    sse.send_event("news", {"text": request.get_data(as_text=True)}, "news")
    return "sent\n"
