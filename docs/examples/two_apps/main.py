"""The main app knows its users, renders pages and publishes. It serves no stream."""

import os
from typing import Any

from flask import Flask, abort, redirect, render_template, request, session
from sign_in import sign_in_form, signed_in

from streamy_core import StreamManager

app = Flask(__name__, template_folder="../templates")
app.config.from_mapping(
    SECRET_KEY=os.environ["SECRET_KEY"],
    SESSION_COOKIE_SAMESITE="Lax",
    STREAMY_BROKER_URL=os.environ["STREAMY_BROKER_URL"],
)
sse = StreamManager(app)
app.register_blueprint(sse.blueprint)
app.register_blueprint(sign_in_form)
app.add_url_rule("/live", endpoint="stream", build_only=True)  # the streaming app serves it

members = {"tea": {"ann"}}


def member_of(room: str) -> str:
    user = signed_in()
    if user not in members.get(room, ()):
        abort(403)
    return user


@app.get("/")
def index() -> Any:
    return redirect("/rooms/tea") if "user" in session else render_template("sign_in.html")


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
