"""gevent's own server, `gevent.pywsgi`: a greenlet for each request, any number of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

from .greenlets import GreenletServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Gevent(GreenletServer):
    """gevent's hub waits for its sockets, so that no other loop may."""

    name: ClassVar[str] = "gevent"

    patch: ClassVar[str] = "gevent.monkey.patch_all()"

    def close_after(self, start_response: StartResponse) -> bool:
        handler: Any = getattr(start_response, "__self__", None)
        if not hasattr(handler, "close_connection"):  # wrapped by a middleware
            return False
        handler.close_connection = True
        return True

    @classmethod
    def serves(cls, environ: WSGIEnvironment) -> bool:
        return type(environ.get("wsgi.input")).__module__.startswith("gevent.")

    def is_patched(self) -> bool:
        return gevent_is_patched()


def gevent_is_patched() -> bool:
    """Whether gevent has patched what threads wait by."""
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))
