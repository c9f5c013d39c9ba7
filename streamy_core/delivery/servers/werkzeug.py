"""Werkzeug's server, which `flask run` starts: a thread for each request, any number of them, or none."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, ClassVar

from .base import UNBOUNDED, Server, is_plain

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Werkzeug(Server):
    """Werkzeug shows its client's socket, and closes each after its response."""

    name: ClassVar[str] = "werkzeug"

    environ_key: ClassVar[str] = "werkzeug.socket"

    def socket(self, environ: WSGIEnvironment) -> socket.socket | None:
        found: socket.socket = environ[self.environ_key]
        return found

    def may_take(self, environ: WSGIEnvironment, *, closes: bool) -> bool:
        # With `processes=`, each request has a process of its own, which ends with it.
        lasts = os.name == "posix" and not environ.get("wsgi.multiprocess")
        return lasts and is_plain(environ[self.environ_key], environ)

    def close_after(self, start_response: StartResponse) -> bool:
        return True  # it does after each

    def capacity(self, environ: WSGIEnvironment) -> int | None:
        return UNBOUNDED if environ.get("wsgi.multithread") else 1
