"""Taking a client's socket over from the server, where the server shows it and it is safe.

How: duplicate the client's descriptor, then lay one end of a fresh socket pair over the original
with `dup2`. The server goes on with its own socket object and its own bookkeeping, writes its
response into the pair, and closes that. `os.dup` alone would not do: a graceful close shuts the
shared connection down. `socket.detach` would make servers count the connection down twice.

The body goes out in chunks over HTTP/1.1; over HTTP/1.0 the close of the connection is its end
(RFC 9112 section 6.3). Either way all clients of an audience get the same bytes.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_SOCKET: Final = "gunicorn.socket"
_DEAD_AFTER: Final = 30.0

LAST_CHUNK: Final = b"0\r\n\r\n"

Adopt = Callable[[socket.socket, bytes], None]
"""Given the client's socket, which is the callee's from then on, and the head to send first."""


def client_socket(environ: WSGIEnvironment) -> socket.socket | None:
    """The client's socket, if it can be taken over now; None if it has to be left to the server.

    It can if its kind allows it, its request has been read whole, and no byte of a further one has
    arrived.
    """
    sock = plain_socket(environ)
    return None if sock is None or _has_more(sock, environ) else sock


def plain_socket(environ: WSGIEnvironment) -> socket.socket | None:
    """The client's socket, if it is of a kind that can be taken over, and the server shows it.

    That is a TCP or Unix socket, not TLS and not gevent's, with HTTP/1 (HTTP/2 has many streams on one).
    """
    sock = environ.get(_SOCKET)
    # By module: under gevent, `socket.socket` itself is gevent's class.
    if not isinstance(sock, socket.socket) or type(sock).__module__ != "socket":
        return None
    if environ.get("SERVER_PROTOCOL") not in ("HTTP/1.0", "HTTP/1.1"):
        return None
    return sock


def take_over(sock: socket.socket, head: bytes, adopt: Adopt) -> Iterator[bytes]:
    """Give the client to `adopt`, which must not raise; returns the empty body for the server.

    Raises OSError if descriptors have run out; then nothing has changed.
    """
    ours, theirs = socket.socketpair()
    try:
        client = sock.dup()
    except OSError:
        ours.close()
        theirs.close()
        raise
    with theirs:
        os.dup2(theirs.fileno(), sock.fileno(), inheritable=False)
    # What the server reads from the pair is the end of its client's requests.
    ours.shutdown(socket.SHUT_WR)
    client.setblocking(False)
    adopt(client, head)
    return _Nothing(ours)


def notice_death(client: socket.socket, seconds: float = _DEAD_AFTER) -> None:
    """Have the kernel give up on a peer that acknowledges nothing for so long (RFC 5482, tcp(7))."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None and client.family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):  # it may be dead already, which the loop will notice
            client.setsockopt(socket.IPPROTO_TCP, option, round(seconds * 1000))
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def speaks_chunks(environ: WSGIEnvironment) -> bool:
    """Whether the client understands chunks (RFC 9112 section 6.1)."""
    return bool(environ["SERVER_PROTOCOL"] != "HTTP/1.0")


def encode_chunk(data: bytes) -> bytes:
    """The data as one chunk (RFC 9112 section 7.1); nothing for nothing, which would be the last."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def encode_head(status: str, headers: Sequence[tuple[str, str]], *, chunked: bool) -> bytes:
    """The head of a response after which its connection is closed."""
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    if not any(name.lower() == "date" for name, _ in headers):
        lines.append(f"Date: {formatdate(time.time(), usegmt=True)}")
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")


def _has_more(sock: socket.socket, environ: WSGIEnvironment) -> bool:
    """Whether a part of this request's body is unread, or a byte behind it has come already."""
    body: Any = getattr(environ.get("wsgi.input"), "reader", None)
    buffered = getattr(getattr(body, "unreader", None), "buf", None)
    # Without a `length` the body is chunked, and nothing says whether it has been read to its end.
    if getattr(body, "length", None) != 0 or buffered is None or buffered.getvalue():
        return True
    try:
        return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return False
    except OSError:
        return True


class _Nothing(Iterator[bytes]):
    """An empty body. Closed by the server once it has written its response, which is thrown away."""

    def __init__(self, sink: socket.socket) -> None:
        self._sink = sink

    def __next__(self) -> bytes:
        raise StopIteration

    def close(self) -> None:
        self._sink.close()
