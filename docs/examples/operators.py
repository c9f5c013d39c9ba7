"""An app whose operators see the live page."""

from flask import Flask, Request, session

from streamy_core import StreamManager

OPERATORS = {"ann", "bob"}


def is_operator(request: Request) -> bool:
    return session.get("user") in OPERATORS


app = Flask(__name__)
app.config.from_prefixed_env()
app.config["TRUSTED_HOSTS"] = ["shop.example"]
app.config["STREAMY_OVERVIEW"] = is_operator
sse = StreamManager(app)
app.register_blueprint(sse.blueprint)
