"""waitress: how many threads it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .base import Server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_DISCONNECTED = "waitress.client_disconnected"


class Waitress(Server):
    """waitress keeps its clients' sockets to itself."""

    name: ClassVar[str] = "waitress"

    @classmethod
    def serves(cls, environ: WSGIEnvironment) -> bool:
        return _DISCONNECTED in environ

    def capacity(self, environ: WSGIEnvironment) -> int | None:
        channel: Any = getattr(environ[_DISCONNECTED], "__self__", None)
        threads = getattr(getattr(getattr(channel, "server", None), "adj", None), "threads", None)
        return threads if isinstance(threads, int) else None
