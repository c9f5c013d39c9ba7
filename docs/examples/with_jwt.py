"""Streams for those who bring a JSON Web Token in a header: `flask --app with_jwt run`.

pip install pyjwt
"""

import time
from datetime import UTC, datetime
from typing import Any

import jwt
from flask import Flask, Response, abort, render_template, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized
from werkzeug.security import check_password_hash, generate_password_hash

from streamy_core import StreamManager

SIGNED_IN = 8 * 3600  # seconds for which tokens are renewed after a sign-in

app = Flask(__name__)
app.config.from_mapping(JWT_KEY="change me into 32 random bytes, or more", JWT_SECONDS=300)
app.config.from_prefixed_env()  # FLASK_JWT_KEY, …
sse = StreamManager(app)
app.register_blueprint(sse.blueprint)

users = {name: generate_password_hash(f"{name}'s password") for name in ("ann", "bob")}


def token(user: str, signed_in: int) -> str:
    ends = int(time.time()) + app.config["JWT_SECONDS"]
    claims = {"sub": user, "aud": "app", "auth_time": signed_in, "exp": ends}
    return jwt.encode(claims, app.config["JWT_KEY"], algorithm="HS256")


def claims() -> dict[str, Any]:
    """What the request's token says; 401 unless it brings one of ours that is valid now."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    given = given if scheme.lower() == "bearer" else ""
    key, needed = app.config["JWT_KEY"], {"require": ["sub", "exp", "auth_time"]}
    try:
        return jwt.decode(given, key, algorithms=["HS256"], audience="app", options=needed)
    except jwt.InvalidTokenError:
        raise Unauthorized(www_authenticate=WWWAuthenticate("bearer")) from None


@app.get("/")
def page() -> str:
    return render_template("with_jwt.html")


@app.post("/sign-in")
def sign_in() -> str:
    user, password = request.form["user"], request.form["password"]
    if user not in users or not check_password_hash(users[user], password):
        abort(403)
    return token(user, int(time.time()))


@app.post("/token")
def renew() -> str:
    old = claims()
    if old["sub"] not in users or time.time() > old["auth_time"] + SIGNED_IN:
        abort(403)
    return token(old["sub"], old["auth_time"])


@app.get("/stream")
def stream() -> Response:
    valid = claims()
    ends = datetime.fromtimestamp(valid["exp"], UTC)
    return sse.get_stream(f"user:{valid['sub']}", key=valid["sub"], until=ends)


@app.post("/notes")
def note() -> str:
    return sse.send_event(f"user:{claims()['sub']}", {"text": request.form["text"]})
