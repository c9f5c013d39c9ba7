"""The form to sign in, and who has: for the examples whose pages are for users. Your app has its own."""

from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, session
from werkzeug.security import check_password_hash, generate_password_hash

sign_in_form = Blueprint("sign_in_form", __name__)

users = {name: generate_password_hash(f"{name}'s password") for name in ("ann", "bob", "eve")}


@sign_in_form.post("/sign-in")
def sign_in() -> Any:
    user, password = request.form["user"], request.form["password"]
    if user not in users or not check_password_hash(users[user], password):
        return render_template("sign_in.html", wrong=True), 403
    session.clear()
    session["user"] = user
    return redirect("/")


def signed_in() -> str:
    """Who asks. 401 for nobody."""
    user: str | None = session.get("user")
    if user is None:
        abort(401)
    return user
