"""What delivery has to know of the server that a request came by; of an unknown one, nothing is known."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_HTTP_1 = ("HTTP/1.0", "HTTP/1.1")


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
        """The client's socket, if the server shows it and it is of a kind that may be taken over."""
        return None

    def has_read_all(self, environ: WSGIEnvironment) -> bool:
        """Whether the request has been read whole, and no byte of a further one has arrived.

        Asked only where there is a `socket`.
        """
        return False

    def capacity(self, environ: WSGIEnvironment) -> int | None:
        """How many requests this process can serve at once; None: any number, or it can't be known."""
        return None

    def is_stopping(self) -> bool:
        """Whether the server has been told to stop, and waits for its requests to end."""
        return False


def plain_socket(found: object, environ: WSGIEnvironment) -> socket.socket | None:
    """This object, if it is a TCP or Unix socket that speaks HTTP/1: not TLS, not gevent's.

    HTTP/2 has many streams on one socket.
    """
    # By module: under gevent, `socket.socket` itself is gevent's class, and its sockets are the hub's.
    if not isinstance(found, socket.socket) or type(found).__module__ != "socket":
        return None
    return found if environ.get("SERVER_PROTOCOL") in _HTTP_1 else None


def has_unread(sock: socket.socket) -> bool:
    """Whether a byte has arrived that nobody has read, or the client is gone. Never blocks."""
    try:
        return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return False
    except OSError:
        return True
