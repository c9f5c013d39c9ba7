"""What is known of each server: one file for the peculiarities of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .asgi import AsgiWrapper
from .base import UNBOUNDED, Server
from .cheroot import Cheroot
from .eventlet import Eventlet
from .gevent import Gevent
from .gunicorn import Gunicorn
from .mod_wsgi import ModWsgi
from .testclient import InProcess
from .uwsgi import Uwsgi
from .waitress import Waitress
from .werkzeug import Werkzeug

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["UNBOUNDED", "Server", "server_of"]

_KNOWN: Final[tuple[Server, ...]] = (
    Gunicorn(),
    Werkzeug(),
    Uwsgi(),
    Waitress(),
    ModWsgi(),
    Cheroot(),
    Eventlet(),
    Gevent(),
    AsgiWrapper(),
    InProcess(),
)
_UNKNOWN: Final = Server()


def server_of(environ: WSGIEnvironment | None) -> Server:
    """The server that a request came by; one of which nothing is known, if it says nothing of itself."""
    if environ is None:
        return _UNKNOWN
    return next((server for server in _KNOWN if server.serves(environ)), _UNKNOWN)
