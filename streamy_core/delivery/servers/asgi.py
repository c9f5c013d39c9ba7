"""Wrappers that have an ASGI server serve a WSGI app: a2wsgi, and asgiref's `WsgiToAsgi`."""

from __future__ import annotations

from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, ClassVar

from .base import Server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class AsgiWrapper(Server):
    """They tell nobody that a client has left, nor that the server is to stop: a stream would hold its
    thread for good. So none may.
    """

    name: ClassVar[str] = "ASGI wrapper"

    @classmethod
    def serves(cls, environ: WSGIEnvironment) -> bool:
        return "asgi.scope" in environ or isinstance(environ.get("wsgi.input"), SpooledTemporaryFile)

    def capacity(self, environ: WSGIEnvironment) -> int | None:
        return 1

    def multiprocess(self, environ: WSGIEnvironment) -> bool:
        return False  # they say so always, and know nothing of it
