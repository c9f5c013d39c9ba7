"""Apps that have nothing but settings."""

from __future__ import annotations

from flask import Flask


def make_app(**config: object) -> Flask:
    app = Flask(__name__)
    app.config.update(config)
    return app
