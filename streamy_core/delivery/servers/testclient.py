"""The test clients of Flask and Werkzeug, which call the app in the test's own thread."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, ClassVar

from .base import UNBOUNDED, Server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class InProcess(Server):
    """They say that they serve one request at a time, and mean no threads by it."""

    name: ClassVar[str] = "test client"

    @classmethod
    def serves(cls, environ: WSGIEnvironment) -> bool:
        return type(environ.get("wsgi.input")) is BytesIO and not environ.get("wsgi.multithread")

    def capacity(self, environ: WSGIEnvironment) -> int | None:
        return UNBOUNDED
