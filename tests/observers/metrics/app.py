"""The app of `tests.support.app`, whose blueprint shows metrics; and gunicorn's hook for those that die."""

from __future__ import annotations

from flask import Flask

from streamy_core.observers.metrics.prometheus import child_exit

from ...support.app import create_app as create_plain_app
from ...support.app import manager_of

__all__ = ["child_exit", "create_app"]


def create_app() -> Flask:
    """The app: see the module."""
    app = create_plain_app()
    app.register_blueprint(manager_of(app).blueprint)
    return app
