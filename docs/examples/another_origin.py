"""An API whose streams the pages of another origin read, with their cookies."""

from flask import Flask, Response, abort, session

from streamy_core import StreamManager

app = Flask(__name__)
app.config.from_mapping(
    SECRET_KEY="change me",
    SESSION_COOKIE_SAMESITE="None",  # on another site: a browser sends no other cookie there
    SESSION_COOKIE_SECURE=True,
    STREAMY_ALLOW_ORIGINS=["https://app.example", "http://localhost:5173"],
)
sse = StreamManager(app)


@app.get("/events")
def events() -> Response:
    if "user" not in session:
        abort(401)
    return sse.get_stream(f"user:{session['user']}")


@app.get("/partners/events")
def partners() -> Response:
    return sse.get_stream("prices", allow_origins=["https://partner.example"])
