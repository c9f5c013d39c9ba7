from flask import Flask

from streamy_core import StreamManager

app = Flask(__name__)
sse = StreamManager()


@app.route("/send_event")
def send_event():
    sse.send_event("stream1", data="Hello, World!", event_name="greeting")
    return "Event sent"


@app.route("/stream")
def events():
    headers = {
        "X-Accel-Buffering": "no",  # Disable response buffering
        "Cache-Control": "no-cache",
    }
    return sse.get_stream("stream1", headers=headers)


@app.route("/end_stream")
def end_stream():
    sse.end_stream("stream1")
    return "Stream ended"


if __name__ == "__main__":
    app.run(debug=True)
