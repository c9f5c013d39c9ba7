"""The main app knows its users, renders pages and publishes. It serves no stream."""

import os
from typing import Any

from flask import Flask, abort, redirect, render_template, request, session
from werkzeug.security import check_password_hash, generate_password_hash

from streamy_core import StreamManager

app = Flask(__name__, template_folder="../templates")
app.config.from_mapping(
    SECRET_KEY=os.environ["SECRET_KEY"],
    SESSION_COOKIE_SAMESITE="Lax",
    STREAMY_BROKER_URL=os.environ["STREAMY_BROKER_URL"],
)
sse = StreamManager(app)
app.register_blueprint(sse.blueprint)
app.add_url_rule("/live", endpoint="stream", build_only=True)  # the streaming app serves it

users = {name: generate_password_hash(f"{name}'s password") for name in ("ann", "eve")}
members = {"tea": {"ann"}}


def member_of(room: str) -> str:
    user: str | None = session.get("user")
    if user is None:
        abort(401)
    if user not in members.get(room, ()):
        abort(403)
    return user


@app.get("/")
def index() -> Any:
    return redirect("/rooms/tea") if "user" in session else render_template("sign_in.html")


@app.post("/sign-in")
def sign_in() -> Any:
    user, password = request.form["user"], request.form["password"]
    if user not in users or not check_password_hash(users[user], password):
        return render_template("sign_in.html", wrong=True), 403
    session.clear()
    session["user"] = user
    return redirect("/")


@app.get("/rooms/<room>")
def page(room: str) -> str:
    return render_template("grants.html", room=room, user=member_of(room))


@app.get("/rooms/<room>/grant")
def renew(room: str) -> str:
    return sse.grant_url("stream", f"room:{room}", key=member_of(room), expires=300)


@app.post("/rooms/<room>/messages")
def send(room: str) -> str:
    user = member_of(room)
    return sse.send_event(f"room:{room}", {"user": user, "text": request.form["text"]})


@app.post("/rooms/<room>/leave")
def leave(room: str) -> Any:
    user = member_of(room)
    members[room].discard(user)
    sse.disconnect(stream_id=f"room:{room}", key=user)
    return redirect("/")
