"""What is known of each server: one file for the peculiarities of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .base import Server
from .gevent import Gevent
from .gunicorn import Gunicorn
from .waitress import Waitress
from .werkzeug import Werkzeug

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["Server", "server_of"]

_KNOWN: Final[tuple[Server, ...]] = (Gunicorn(), Werkzeug(), Waitress(), Gevent())
_UNKNOWN: Final = Server()


def server_of(environ: WSGIEnvironment | None) -> Server:
    """The server that a request came by; one of which nothing is known, if it says nothing of itself."""
    if environ is None:
        return _UNKNOWN
    return next((server for server in _KNOWN if server.serves(environ)), _UNKNOWN)
