"""uWSGI: its threads, and the descriptor of its client's connection."""

from __future__ import annotations

import os
import stat
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Final

from .base import Server
from .gevent import gevent_is_patched

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_THREADS: Final = ("enable-threads", "threads")
_LOOPS: Final = ("gevent", "asyncio", "greenlet", "ugreen", "async", "tornado")
_SSL: Final = ("https-socket", "ssl-socket", "suwsgi-socket")


class Uwsgi(Server):
    """The connection is the client's, or that of a proxy which waits for the response's end."""

    name: ClassVar[str] = "uwsgi"

    environ_key: ClassVar[str] = "uwsgi.version"

    def descriptor(self, environ: WSGIEnvironment) -> int | None:
        found: int = _module().connection_fd()
        return found if found >= 0 and stat.S_ISSOCK(os.fstat(found).st_mode) else None

    def may_take(self, environ: WSGIEnvironment, *, closes: bool) -> bool:
        options = _module().opt
        runs_alone = _runs_threads() and not any(name in options for name in (*_LOOPS, *_SSL))
        return runs_alone and self.descriptor(environ) is not None

    def close_after(self, start_response: StartResponse) -> bool:
        return True  # it does after each

    def chunks(self, environ: WSGIEnvironment) -> bool:
        return False  # a proxy that speaks uwsgi takes what comes for the body

    def capacity(self, environ: WSGIEnvironment) -> int | None:
        options = _module().opt
        if "gevent" in options:  # so many cores
            return int(options["gevent"]) if gevent_is_patched() else 1
        return int(options.get("threads", 1)) if _runs_threads() else 1

    def trouble(self) -> str | None:
        if "gevent" in _module().opt:
            cure = "uWSGI serves one stream at a time here: set gevent-monkey-patch = true"
            return None if gevent_is_patched() else cure
        if _runs_threads():
            return None
        return "uWSGI runs no threads of Python's: set enable-threads = true, or streams come late"


def _runs_threads() -> bool:
    """Whether threads go on while no request is served."""
    return any(name in _module().opt for name in _THREADS)


def _module() -> Any:
    """What uWSGI puts into its processes."""
    return import_module("uwsgi")
