"""Clients that ask for a stream, and then do as they like."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from streamy_core.testing.reading import DEADLINE

FORGED: Final = "x"
"""A cursor that no stream can place: whoever brings it is given all that is kept."""


class Rudeness(NamedTuple):
    """A way of asking. headers: beside `Host`. more: bytes behind the head."""

    name: str
    version: str = "1.1"
    headers: tuple[str, ...] = ()
    more: bytes = b""


KINDS: Final = (
    Rudeness("reads nothing"),
    Rudeness("owes a body", headers=("Content-Length: 1",)),
    Rudeness("owes chunks", headers=("Transfer-Encoding: chunked",)),
    Rudeness("pipelines a byte", more=b"x"),
    Rudeness("speaks HTTP/1.2", version="1.2"),
    Rudeness("closes", headers=("Connection: close",)),
)


def ask(
    address: tuple[str, int], path: str, kind: Rudeness = KINDS[0], cursor: str = FORGED
) -> socket.socket:
    """A connection that has asked, and takes next to nothing of the answer.

    Segments as on an Ethernet, and not loopback's of 64 KiB, of which the system would hold megabytes.
    """
    sock = socket.socket()
    sock.settimeout(DEADLINE)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1_460)
    sock.connect(address)
    lines = [
        f"GET {path} HTTP/{kind.version}",
        "Host: rude",
        f"Last-Event-ID: {cursor}",
        *kind.headers,
        "",
        "",
    ]
    sock.sendall("\r\n".join(lines).encode() + kind.more)
    return sock


@contextmanager
def rude_clients(
    address: tuple[str, int], path: str, kind: Rudeness, count: int
) -> Iterator[list[socket.socket]]:
    """So many of them, until the end."""
    socks = [ask(address, path, kind) for _ in range(count)]
    try:
        yield socks
    finally:
        for sock in socks:
            sock.close()
