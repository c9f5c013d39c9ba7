"""gunicorn: its worker's kind, its threads, the socket that it shows, and how it stops."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING, Any, ClassVar

from .base import Server, has_unread, plain_socket

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_SOCKET = "gunicorn.socket"


class Gunicorn(Server):
    """A gunicorn worker of any kind. Only the sockets of `sync` and `gthread` are plain ones."""

    name: ClassVar[str] = "gunicorn"
    tells_when_stopping: ClassVar[bool] = True

    @classmethod
    def serves(cls, environ: WSGIEnvironment) -> bool:
        return _SOCKET in environ

    def socket(self, environ: WSGIEnvironment) -> socket.socket | None:
        return plain_socket(environ[_SOCKET], environ)

    def has_read_all(self, environ: WSGIEnvironment) -> bool:
        body: Any = getattr(environ.get("wsgi.input"), "reader", None)
        buffered = getattr(getattr(body, "unreader", None), "buf", None)
        # Without a `length` the body is chunked, and nothing says whether it has been read to its end.
        if getattr(body, "length", None) != 0 or buffered is None or buffered.getvalue():
            return False
        return not has_unread(environ[_SOCKET])

    def capacity(self, environ: WSGIEnvironment) -> int | None:
        worker = current_worker()
        if worker is None:
            return None
        return {"SyncWorker": 1, "ThreadWorker": int(worker.cfg.threads)}.get(type(worker).__name__)

    def is_stopping(self) -> bool:
        # Workers put `alive` to False on SIGTERM, reload and `max_requests`, and tell nobody.
        worker = current_worker()
        if worker is None:
            return False
        # On SIGINT and SIGQUIT a gthread worker shuts its pool before it puts `alive` to False. If the second
        # of them comes in between, it never does: it waits for a lock of the pool's that it has itself. (So
        # it does when the first comes while it hands work to the pool, and of that nothing tells.)
        pool = getattr(worker, "tpool", None)
        return not worker.alive or getattr(pool, "_shutdown", False)


def current_worker() -> Any:
    """The gunicorn worker that this process is, or None. Any thread."""
    # The handler of SIGTERM is a method of the worker, which nothing else leads to.
    owner = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return owner if hasattr(owner, "alive") and hasattr(owner, "cfg") else None
