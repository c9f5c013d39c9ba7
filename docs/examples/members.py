"""Rooms whose streams only their members may read."""

from flask import Flask, Response, abort, session

from streamy_core import StreamManager

app = Flask(__name__)
app.config.from_mapping(
    SECRET_KEY="change me",
    STREAMY_MAX_CONNECTION_AGE=600.0,
    STREAMY_MAX_CONNECTIONS_PER_KEY=5,
)
sse = StreamManager(app)

members = {"tea": {"ann", "bob"}}


@app.get("/rooms/<room>/stream")
def stream(room: str) -> Response:
    user = session.get("user")
    if user is None:
        abort(401)
    if user not in members.get(room, ()):
        abort(403)
    return sse.get_stream(f"room:{room}", key=f"user:{user}")


def remove(room: str, user: str) -> None:
    members[room].discard(user)
    sse.disconnect(stream_id=f"room:{room}", key=f"user:{user}")
