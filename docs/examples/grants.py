"""Rooms whose pages are given a right to read: `flask --app grants run`, and sign in as ann."""

from typing import Any

from flask import Flask, Response, abort, make_response, redirect, render_template, request, session
from sign_in import sign_in_form, signed_in

from streamy_core import StreamManager

app = Flask(__name__)
app.config.from_mapping(SECRET_KEY="change me", SESSION_COOKIE_SAMESITE="Lax")
sse = StreamManager(app)
app.register_blueprint(sse.blueprint)
app.register_blueprint(sign_in_form)

members = {"tea": {"ann", "bob"}}


def member_of(room: str) -> str:
    """Who asks. 401 for nobody, 403 for somebody else than a member."""
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


@app.get("/stream")
def stream() -> Response:
    grant = sse.granted(key=session.get("user"))
    return sse.get_stream(grant.streams)


@app.get("/rooms/<room>/cookie")
def page_with_cookie(room: str) -> Response:
    user = member_of(room)
    response = make_response(render_template("grant_cookie.html", room=room, user=user))
    sse.set_grant_cookie(response, f"room:{room}", key=user, expires=300)
    return response


@app.get("/rooms/<room>/cookie/renew")
def renew_cookie(room: str) -> Response:
    response = make_response("")
    sse.set_grant_cookie(response, f"room:{room}", key=member_of(room), expires=300)
    return response


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
