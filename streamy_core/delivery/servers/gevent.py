"""gevent's own server, `gevent.pywsgi`: a greenlet for each request, any number of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .base import Server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Gevent(Server):
    """gevent's hub waits for its sockets, so that no other loop may."""

    name: ClassVar[str] = "gevent"

    @classmethod
    def serves(cls, environ: WSGIEnvironment) -> bool:
        return type(environ.get("wsgi.input")).__module__.startswith("gevent.")
