"""gevent's own server, `gevent.pywsgi`: a greenlet for each request, any number of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .base import Server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Gevent(Server):
    """gevent's hub waits for its sockets, so that no other loop may."""

    name: ClassVar[str] = "gevent"

    def close_after(self, start_response: StartResponse) -> bool:
        handler: Any = getattr(start_response, "__self__", None)
        if not hasattr(handler, "close_connection"):  # wrapped by a middleware
            return False
        handler.close_connection = True
        return True

    @classmethod
    def serves(cls, environ: WSGIEnvironment) -> bool:
        return type(environ.get("wsgi.input")).__module__.startswith("gevent.")
