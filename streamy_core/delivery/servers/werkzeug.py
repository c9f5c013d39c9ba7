"""Werkzeug's server, which `flask run` starts: a thread for each request, any number of them."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, ClassVar

from .base import Server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Werkzeug(Server):
    """Werkzeug shows its client's socket, which it goes on using itself: so it isn't taken over."""

    name: ClassVar[str] = "werkzeug"

    environ_key: ClassVar[str] = "werkzeug.socket"

    def socket(self, environ: WSGIEnvironment) -> socket.socket | None:
        found: socket.socket = environ[self.environ_key]
        return found

    def capacity(self, environ: WSGIEnvironment) -> int | None:
        return None if environ.get("wsgi.multithread") else 1
