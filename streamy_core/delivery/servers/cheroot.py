"""cheroot, CherryPy's server: how many threads it has."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, ClassVar

from .base import Server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Cheroot(Server):
    """cheroot keeps its clients' sockets to itself."""

    name: ClassVar[str] = "cheroot"

    environ_key: ClassVar[str] = "ACTUAL_SERVER_PROTOCOL"

    def capacity(self, environ: WSGIEnvironment) -> int | None:
        worker: Any = threading.current_thread()  # a request is served by one of the pool's threads
        threads: Any = getattr(getattr(getattr(worker, "server", None), "requests", None), "_threads", None)
        return None if threads is None else len(threads)
