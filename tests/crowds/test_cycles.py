"""What a thousand clients that come and go leave behind: nothing."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Final

import pytest

from streamy_core.testing.reading import DEADLINE

from .conftest import Serving

pytestmark = pytest.mark.slow

CYCLES: Final = 1_000
KEEP_ALIVE: Final = 0.02
"""Seconds. A thread learns that its client has gone when it writes to it."""

Step = Callable[[socket.socket, bytes], None]


def ask_by_half(client: socket.socket, request: bytes) -> None:
    client.sendall(request[: len(request) // 2])


def ask(client: socket.socket, request: bytes) -> None:
    client.sendall(request)


def read_the_head(client: socket.socket, request: bytes) -> None:
    client.sendall(request)
    _read_until(client, b"\r\n\r\n")


def read_the_first_frame(client: socket.socket, request: bytes) -> None:
    client.sendall(request)
    _read_until(client, b"\n\n")


def _read_until(client: socket.socket, end: bytes) -> None:
    """A byte at a time, so that the rest is unread when the client goes."""
    seen = b""
    while not seen.endswith(end):
        data = client.recv(1)
        assert data, f"closed by the server after {seen!r}"
        seen += data


def politely(client: socket.socket) -> None:
    client.close()


def by_reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


WAYS: Final = [
    (step, leave)
    for step in (ask_by_half, ask, read_the_head, read_the_first_frame)
    for leave in (politely, by_reset)
]


@pytest.mark.parametrize("delivery", ["detached", "wsgi"])
def test_a_thousand_clients_that_come_and_go_leave_nothing_behind(
    serving: Serving, stream: str, delivery: str
) -> None:
    gunicorn = serving(delivery, STREAMY_KEEP_ALIVE=KEEP_ALIVE)
    request = f"GET {gunicorn.path(stream)} HTTP/1.1\r\nHost: crowd\r\n\r\n".encode()
    base = gunicorn.settled()
    for number in range(CYCLES):
        step, leave = WAYS[number % len(WAYS)]
        with socket.create_connection(gunicorn.address, timeout=DEADLINE) as client:
            step(client, request)
            leave(client)
    gunicorn.settles_to(base)
