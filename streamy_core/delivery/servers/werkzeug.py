"""Werkzeug's server, which `flask run` starts: a thread for each request, any number of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .base import Server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_SOCKET = "werkzeug.socket"


class Werkzeug(Server):
    """Werkzeug shows its client's socket, which it goes on using itself: so it isn't taken over."""

    name: ClassVar[str] = "werkzeug"

    @classmethod
    def serves(cls, environ: WSGIEnvironment) -> bool:
        return _SOCKET in environ

    def capacity(self, environ: WSGIEnvironment) -> int | None:
        return None if environ.get("wsgi.multithread") else 1
