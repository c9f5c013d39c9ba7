"""gunicorn: its worker's kind, its threads, the socket that it shows, and how it stops."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING, Any, ClassVar

from ..sockets import PEEK
from .base import Server, is_plain

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Gunicorn(Server):
    """A gunicorn worker of any kind. Only the sockets of `sync` and `gthread` are plain ones."""

    name: ClassVar[str] = "gunicorn"
    tells_when_stopping: ClassVar[bool] = True

    environ_key: ClassVar[str] = "gunicorn.socket"

    def socket(self, environ: WSGIEnvironment) -> socket.socket | None:
        found: socket.socket = environ[self.environ_key]
        return found

    def may_take(self, environ: WSGIEnvironment, *, closes: bool) -> bool:
        sock = environ[self.environ_key]
        # A worker that doesn't close would go on with what it has read already of another request.
        return is_plain(sock, environ) and (closes or _has_read_all(environ, sock))

    def close_after(self, start_response: StartResponse) -> bool:
        force_close = getattr(getattr(start_response, "__self__", None), "force_close", None)
        if force_close is None:  # wrapped by a middleware
            return False
        force_close()
        return True

    def capacity(self, environ: WSGIEnvironment) -> int | None:
        worker = current_worker()
        if worker is None:
            return None
        return {"SyncWorker": 1, "ThreadWorker": int(worker.cfg.threads)}.get(type(worker).__name__)

    def connections(self) -> int | None:
        worker = current_worker()
        if type(worker).__name__ == "SyncWorker":
            return 1
        # Other workers' sockets aren't taken over: their connections are the clients.
        return int(worker.worker_connections) if type(worker).__name__ == "ThreadWorker" else None

    def accept_at_most(self, connections: int) -> None:
        worker = current_worker()
        if hasattr(worker, "worker_connections"):
            worker.worker_connections = connections

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


def _has_read_all(environ: WSGIEnvironment, sock: socket.socket) -> bool:
    """Whether the request has been read whole, and no byte of a further one has arrived."""
    body: Any = getattr(environ.get("wsgi.input"), "reader", None)
    buffered = getattr(getattr(body, "unreader", None), "buf", None)
    # Without a `length` the body is chunked, and nothing says whether it has been read to its end.
    if getattr(body, "length", None) != 0 or buffered is None or buffered.getvalue():
        return False
    try:
        sock.recv(1, PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def current_worker() -> Any:
    """The gunicorn worker that this process is, or None. Any thread."""
    # The handler of SIGTERM is a method of the worker, which nothing else leads to.
    owner = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return owner if hasattr(owner, "alive") and hasattr(owner, "cfg") else None
