"""What delivery has to know of the server that a request came by; of an unknown one, nothing is known."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Server:
    """The server of this process, as far as it can be told. Stateless; any thread.

    To add a server: a subclass in a file of its own, named in `servers/__init__.py`.
    """

    name: ClassVar[str] = "unknown"

    tells_when_stopping: ClassVar[bool] = False
    """Whether `is_stopping` is worth asking."""

    environ_key: ClassVar[str] = ""
    """What only this server puts into a request's environ."""

    @classmethod
    def serves(cls, environ: WSGIEnvironment) -> bool:
        """Whether this request came by such a server."""
        return not cls.environ_key or cls.environ_key in environ

    def socket(self, environ: WSGIEnvironment) -> socket.socket | None:
        """The client's socket, if the server shows it. It is the server's."""
        return None

    def may_take(self, environ: WSGIEnvironment, *, closes: bool) -> bool:
        """Whether the socket may be taken over, with whatever the client sends after its request.

        closes: whether the server will close the connection after this response: see `close_after`.
        """
        return False

    def close_after(self, start_response: StartResponse) -> bool:
        """Have the connection closed after this response, where the server can be told; whether it can."""
        return False

    def capacity(self, environ: WSGIEnvironment) -> int | None:
        """How many requests this process can serve at once; None: any number, or it can't be known."""
        return None

    def connections(self) -> int | None:
        """How many connections this process may accept at once; None: any number, or it can't be known."""
        return None

    def accept_at_most(self, connections: int) -> None:
        """Accept no more at once, where the server can be told."""

    def is_stopping(self) -> bool:
        """Whether the server has been told to stop, and waits for its requests to end."""
        return False


def is_plain(sock: object, environ: WSGIEnvironment) -> bool:
    """Whether this is a TCP or Unix socket that speaks HTTP/1: not TLS, not gevent's.

    HTTP/2 has many streams on one socket. A higher minor version than one knows is answered as the
    highest that one does (RFC 9110 section 2.5).
    """
    # By module: under gevent, `socket.socket` itself is gevent's class, and its sockets are the hub's.
    plain = isinstance(sock, socket.socket) and type(sock).__module__ == "socket"
    return plain and str(environ.get("SERVER_PROTOCOL")).startswith("HTTP/1.")
