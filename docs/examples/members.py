"""Rooms whose streams only their members may read: `flask --app members run`, and sign in as ann."""

from typing import Any

from flask import Flask, Response, abort, redirect, render_template, request, session
from sign_in import sign_in_form, signed_in

from streamy_core import StreamManager

app = Flask(__name__)
app.config.from_mapping(
    SECRET_KEY="change me",
    SESSION_COOKIE_SAMESITE="Lax",
    STREAMY_MAX_CONNECTION_AGE=600.0,
    STREAMY_MAX_CONNECTIONS_PER_KEY=5,
)
sse = StreamManager(app)
app.register_blueprint(sse.blueprint)
app.register_blueprint(sign_in_form)

members = {"tea": {"ann", "bob"}}


@app.get("/")
def page() -> str:
    return render_template("members.html" if "user" in session else "sign_in.html", room="tea")


@app.post("/sign-out")
def sign_out() -> Any:
    user = session.pop("user", None)
    if user is not None:
        sse.disconnect(key=f"user:{user}")
    return redirect("/")


@app.get("/rooms/<room>/stream")
def stream(room: str) -> Response:
    user = signed_in()
    if user not in members.get(room, ()):
        abort(403)
    return sse.get_stream(f"room:{room}", key=f"user:{user}")


@app.post("/rooms/<room>/messages")
def send(room: str) -> str:
    user = session.get("user")
    if user not in members.get(room, ()):
        abort(403)
    return sse.send_event(f"room:{room}", {"user": user, "text": request.form["text"]})


def remove(room: str, user: str) -> None:
    members[room].discard(user)
    sse.disconnect(stream_id=f"room:{room}", key=f"user:{user}")
