"""gunicorn: its worker's kind, its threads, the socket that it shows, and how it stops."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..sockets import PEEK
from .base import Server, is_plain

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Gunicorn(Server):
    """A gunicorn worker of any kind. Only the sockets of `sync` and `gthread` are plain ones."""

    name: ClassVar[str] = "gunicorn"
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
        most = {
            "SyncWorker": 1,
            "ThreadWorker": worker.cfg.threads,
            "GeventWorker": worker.cfg.worker_connections,
            "GeventPyWSGIWorker": worker.cfg.worker_connections,
        }
        return most.get(type(worker).__name__)

    def chunks(self, environ: WSGIEnvironment) -> bool:
        # Over the uwsgi protocol, the proxy takes what comes for the body.
        protocol = getattr(getattr(current_worker(), "cfg", None), "protocol", "http")
        return protocol != "uwsgi" and super().chunks(environ)

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

    def workers(self) -> Sequence[int] | None:
        # All children of its parent that go by its own name: where there are others, they were started
        # by some other command.
        own, parent = os.getpid(), os.getppid()
        try:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text()
            return [own, *[pid for pid in map(int, children.split()) if pid != own and _is_like(pid, own)]]
        except OSError:  # not on Linux, or it isn't shown
            return None

    def stopping(self) -> Callable[[], bool] | None:
        worker = current_worker() or _worker_among_all()
        return None if worker is None else partial(_is_stopping, worker)


def _is_like(pid: int, own: int) -> bool:
    """Whether this process was started by the same command as ours, and is there."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() == Path(f"/proc/{own}/cmdline").read_bytes()
    except OSError:
        return False


def _is_stopping(worker: Any) -> bool:
    """Whether it was told to stop. Workers put `alive` to False on SIGTERM, reload and `max_requests`."""
    if worker.alive:
        # On SIGINT and SIGQUIT a gthread worker shuts its pool before it puts `alive` to False. If the second
        # of them comes in between, it never does: it waits for a lock of the pool's that it has itself. (So
        # it does when the first comes while it hands work to the pool, and of that nothing tells.)
        return bool(getattr(getattr(worker, "tpool", None), "_shutdown", False))
    return True


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
    # The handler of SIGTERM is a method of the worker, unless the app has set one of its own.
    owner = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return owner if hasattr(owner, "alive") and hasattr(owner, "cfg") else _worker_on_the_main_thread()


def _worker_on_the_main_thread() -> Any:
    """The worker whose `run` the main thread is in, unless it is in another greenlet."""
    frames: Any = sys._current_frames()  # pyright: ignore[reportPrivateUsage] - there is no other way
    frame: Any = frames.get(threading.main_thread().ident)
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if frame.f_code.co_name == "run" and module.startswith("gunicorn.workers"):
            return frame.f_locals.get("self")
        frame = frame.f_back
    return None


def _worker_among_all() -> Any:
    """The worker, if there is one. Takes as long as looking at all objects."""
    base = getattr(sys.modules.get("gunicorn.workers.base"), "Worker", None)
    if base is None:
        return None
    workers = (thing for thing in gc.get_objects() if isinstance(thing, base))
    return next((worker for worker in workers if getattr(worker, "pid", None) == os.getpid()), None)
