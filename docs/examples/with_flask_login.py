"""Streams for those who have signed in by Flask-Login: `flask --app with_flask_login run`."""

from typing import Any

from flask import Flask, Response, abort, redirect, render_template, request
from flask_login import (
    LoginManager,
    UserMixin,
    current_user,
    login_required,
    login_user,
    logout_user,
)
from werkzeug.security import check_password_hash, generate_password_hash

from streamy_core import StreamManager

app = Flask(__name__)
app.config.from_mapping(
    SECRET_KEY="change me",
    SESSION_COOKIE_SAMESITE="Lax",
    STREAMY_MAX_CONNECTION_AGE=600.0,
)
sse = StreamManager(app)
app.register_blueprint(sse.blueprint)
login_manager = LoginManager(app)


class User(UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name
        self.password_hash = generate_password_hash(f"{name}'s password")


users = {name: User(name) for name in ("ann", "bob")}


@login_manager.user_loader
def load_user(name: str) -> User | None:
    return users.get(name)


@login_manager.unauthorized_handler
def unauthorized() -> Any:
    if "text/event-stream" in request.accept_mimetypes.values():
        abort(401)
    return redirect("/sign-in")


@app.get("/")
@login_required
def page() -> str:
    return render_template("own.html")


@app.get("/stream")
@login_required
def stream() -> Response:
    return sse.get_stream(["news", f"user:{current_user.id}"], key=current_user.id)


@app.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> Any:
    if request.method == "GET":
        return render_template("sign_in.html")
    user = users.get(request.form["user"])
    if user is None or not check_password_hash(user.password_hash, request.form["password"]):
        return render_template("sign_in.html", wrong=True), 403
    login_user(user)
    return redirect("/")


@app.post("/sign-out")
@login_required
def sign_out() -> Any:
    name = current_user.id
    logout_user()
    sse.disconnect(key=name)
    return redirect("/sign-in")


@app.post("/notify")
@login_required
def notify() -> str:
    sse.send_event("news", {"text": f"{current_user.id} has called"})
    return sse.send_event(f"user:{current_user.id}", {"text": "only you read this"})
