"""Apache's mod_wsgi: how many threads a process has, and how many processes there are."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from .base import Server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class ModWsgi(Server):
    """Apache keeps its clients' sockets to itself."""

    name: ClassVar[str] = "mod_wsgi"

    environ_key: ClassVar[str] = "mod_wsgi.version"

    def capacity(self, environ: WSGIEnvironment) -> int | None:
        threads = getattr(_module(), "threads_per_process", None)
        return threads if isinstance(threads, int) else super().capacity(environ)

    def multiprocess(self, environ: WSGIEnvironment) -> bool:
        # `processes=1` says in the environ that there are several.
        most = getattr(_module(), "maximum_processes", None)
        return most > 1 if isinstance(most, int) else super().multiprocess(environ)

    def stopping(self) -> Callable[[], bool] | None:
        subscribe = getattr(_module(), "subscribe_shutdown", None)
        if subscribe is None:  # an older version
            return None
        told = threading.Event()

        def tell(*_event: object, **_details: object) -> None:
            told.set()

        subscribe(tell)
        return told.is_set


def _module() -> Any:
    """What mod_wsgi puts into its processes."""
    return sys.modules.get("mod_wsgi")
