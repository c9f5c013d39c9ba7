"""Taking a client's socket over from the server, where the server shows it and it is safe.

How: duplicate the client's descriptor, then lay one end of a fresh socket pair over the original
with `dup2`. The server goes on with its own socket object and its own bookkeeping, writes its
response into the pair, and closes that. `os.dup` alone would not do: a graceful close shuts the
shared connection down. `socket.detach` would make servers count the connection down twice.

The body goes out in chunks over HTTP/1.1; over HTTP/1.0 the close of the connection is its end
(RFC 9112 section 6.3). Either way all clients of a group get the same bytes.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from email.utils import formatdate
from typing import Final

LAST_CHUNK: Final = b"0\r\n\r\n"

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_FRAMING: Final = ("content-length", "transfer-encoding")

Adopt = Callable[[socket.socket, bytes], None]
"""Given the client's socket, which is the callee's from then on, and the head to send first."""


def take_over(descriptor: int, head: bytes, adopt: Adopt) -> Iterator[bytes]:
    """Give the client to `adopt`, which must not raise; returns the empty body for the server.

    descriptor: the server's, of the client's connection.

    Raises OSError if descriptors have run out; then nothing has changed.
    """
    ours, theirs = socket.socketpair()
    try:
        client = socket.socket(fileno=os.dup(descriptor))
    except OSError:
        ours.close()
        theirs.close()
        raise
    with theirs:
        os.dup2(theirs.fileno(), descriptor, inheritable=False)
    # What the server reads from the pair is the end of its client's requests.
    ours.shutdown(socket.SHUT_WR)
    client.setblocking(False)
    adopt(client, head)
    return _EmptyBody(ours)


def encode_chunk(data: bytes) -> bytes:
    """The data as one chunk (RFC 9112 section 7.1); nothing for nothing, which would be the last."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def is_plain_head(headers: Sequence[tuple[str, str]]) -> bool:
    """Whether these headers can go out as they are, before a body that has no length.

    The server refuses others by its own rules: a name that is no token, a control character in a value
    (RFC 9110 sections 5.1 and 5.5).
    """
    return all(
        _TOKEN.fullmatch(name) and _VALUE.fullmatch(value) and name.lower() not in _FRAMING
        for name, value in headers
    )


def encode_head(status: str, headers: Sequence[tuple[str, str]], *, chunked: bool) -> bytes:
    """The head of a response after which its connection is closed."""
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    if not any(name.lower() == "date" for name, _ in headers):
        lines.append(f"Date: {formatdate(time.time(), usegmt=True)}")
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")


class _EmptyBody(Iterator[bytes]):
    """An empty body. Closed by the server once it has written its response, which is thrown away."""

    def __init__(self, sink: socket.socket) -> None:
        self._sink = sink

    def __next__(self) -> bytes:
        raise StopIteration

    def close(self) -> None:
        self._sink.close()
