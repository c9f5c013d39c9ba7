"""An app that says whether it is ready, and to its operators why it isn't."""

from flask import Flask, Request

from streamy_core import StreamManager

TOKEN = "of-the-operators"


def is_operator(request: Request) -> bool:
    return request.headers.get("Authorization") == f"Bearer {TOKEN}"


app = Flask(__name__)
app.config.from_prefixed_env()
app.config["STREAMY_HEALTH_ALLOW"] = is_operator
sse = StreamManager(app)
app.register_blueprint(sse.blueprint)
