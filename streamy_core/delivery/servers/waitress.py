"""waitress: how many threads it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .base import Server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Waitress(Server):
    """waitress keeps its clients' sockets to itself."""

    name: ClassVar[str] = "waitress"

    environ_key: ClassVar[str] = "waitress.client_disconnected"

    def capacity(self, environ: WSGIEnvironment) -> int | None:
        channel: Any = getattr(environ[self.environ_key], "__self__", None)
        threads = getattr(getattr(getattr(channel, "server", None), "adj", None), "threads", None)
        return threads if isinstance(threads, int) else None
