"""The app of `tests.support.app`, which looks at how level its workers are ten times as often."""

from __future__ import annotations

from typing import Final

from flask import Flask

from streamy_core.delivery import leveller

from ..support.app import create_app as create_plain_app

APP: Final = f"{__name__}:create_app()"


def create_app() -> Flask:
    leveller._LASTS, leveller._LOOKS_EVERY = 1.5, 0.5  # type: ignore[misc]
    return create_plain_app()
