"""What delivery has to know of the server that a request came by; of an unknown one, nothing is known."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


UNBOUNDED: Final = 2**31
"""So many requests at once that it is any number."""


class Server:
    """The server of this process, as far as it can be told. Stateless; any thread.

    To add a server: a subclass in a file of its own, named in `servers/__init__.py`.
    """

    name: ClassVar[str] = "unknown"

    environ_key: ClassVar[str] = ""
    """What only this server puts into a request's environ."""

    @classmethod
    def serves(cls, environ: WSGIEnvironment) -> bool:
        """Whether this request came by such a server."""
        return not cls.environ_key or cls.environ_key in environ

    def socket(self, environ: WSGIEnvironment) -> socket.socket | None:
        """The client's socket, if the server shows it. It is the server's."""
        return None

    def descriptor(self, environ: WSGIEnvironment) -> int | None:
        """The descriptor that the server has for the client's connection, if it shows it."""
        sock = self.socket(environ)
        return None if sock is None else sock.fileno()

    def may_take(self, environ: WSGIEnvironment, *, closes: bool) -> bool:
        """Whether the descriptor may be taken over, with whatever the client sends after its request.

        closes: whether the server will close the connection after this response: see `close_after`.
        """
        return False

    def close_after(self, start_response: StartResponse) -> bool:
        """Have the connection closed after this response, where the server can be told; whether it can."""
        return False

    def chunks(self, environ: WSGIEnvironment) -> bool:
        """Whether a body may go out in chunks (RFC 9112 section 6.1) over a connection that was taken."""
        return bool(environ["SERVER_PROTOCOL"] != "HTTP/1.0")

    def send_at_once(self, environ: WSGIEnvironment) -> None:
        """Have the server pass on each piece of the body as it comes, where it would collect some."""

    def capacity(self, environ: WSGIEnvironment) -> int | None:
        """How many requests this process can serve at once; UNBOUNDED; None: it can't be known."""
        return None if environ.get("wsgi.multithread", True) else 1

    def multiprocess(self, environ: WSGIEnvironment) -> bool:
        """Whether other processes serve the app, too, as far as it is told."""
        return bool(environ.get("wsgi.multiprocess", False))

    def trouble(self) -> str | None:
        """What keeps streams from working well on a server that is set up as this one is, and the cure."""
        return None

    def connections(self) -> int | None:
        """How many connections this process may accept at once; None: any number, or it can't be known."""
        return None

    def accept_at_most(self, connections: int) -> None:
        """Accept no more at once, where the server can be told."""

    def workers(self) -> Sequence[int] | None:
        """The ids of the processes that share this one's clients, its own first; None: it can't be known."""
        return None

    def stopping(self) -> Callable[[], bool] | None:
        """What tells whether the server was told to stop, and waits for its requests; None: nothing."""
        return None


def is_plain(sock: object, environ: WSGIEnvironment) -> bool:
    """Whether this is a TCP or Unix socket that speaks HTTP/1: not TLS, not gevent's.

    HTTP/2 has many streams on one socket. A higher minor version than one knows is answered as the
    highest that one does (RFC 9110 section 2.5).
    """
    # By module: under gevent, `socket.socket` itself is gevent's class, and its sockets are the hub's.
    plain = isinstance(sock, socket.socket) and type(sock).__module__ == "socket"
    return plain and str(environ.get("SERVER_PROTOCOL")).startswith("HTTP/1.")
