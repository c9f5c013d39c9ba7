"""The streaming app knows no users. It streams what a grant of the main app says."""

import os

from flask import Flask, Response

from streamy_core import StreamManager

app = Flask(__name__)
app.config.from_mapping(
    SECRET_KEY=os.environ["SECRET_KEY"],
    STREAMY_BROKER_URL=os.environ["STREAMY_BROKER_URL"],
)
sse = StreamManager(app)


@app.get("/live")
def live() -> Response:
    return sse.get_stream(sse.granted().streams)
