"""What the kernel knows of a client's connection. Asking neither blocks nor reads a byte. Any thread.

On Linux only; elsewhere nothing is known. Sockets of gevent and of TLS are asked as any others.
"""

from __future__ import annotations

import _socket
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Final

_LINUX: Final = sys.platform == "linux"
_TCP_INFO: Final = getattr(socket, "TCP_INFO", 11)
_TCP: Final = (socket.AF_INET, socket.AF_INET6)
_ESTABLISHED: Final = 1
"""The state of a TCP connection that neither side has ended (`tcpi_state` of TCP_INFO, tcp(7))."""
_ACKED: Final = slice(120, 128)
"""Where `tcpi_bytes_acked` stands, since Linux 4.1."""
_SEND_BUFFER: Final = 212_992
"""What every Linux allows without being told otherwise (`net.core.wmem_max`)."""

PEEK: Final = getattr(socket, "MSG_PEEK", 0) | getattr(socket, "MSG_DONTWAIT", 0)


def has_left(sock: socket.socket) -> bool:
    """Whether the client has ended the connection, or the network has."""
    if not _LINUX:
        return False
    try:
        if sock.family in _TCP:
            return sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0] != _ESTABLISHED
        return not _has_more(sock)
    except OSError:
        return True


def taken(sock: socket.socket) -> int | None:
    """A number that changes whenever the client takes a byte; None: nobody knows.

    The kernel tells of room in a full buffer only once a third of it is free, which takes a slow reader
    minutes. This is what it has acknowledged (`tcpi_bytes_acked` of TCP_INFO, tcp(7)).
    """
    if not _LINUX:
        return None
    try:
        if sock.family in _TCP:
            info = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _ACKED.stop)
            return int.from_bytes(info[_ACKED], sys.byteorder)
        return _waiting(sock)
    except OSError:
        return None


def room(sock: socket.socket) -> int | None:
    """How many bytes the kernel surely takes without waiting for the client; None: nobody knows.

    Half of what is free: the kernel counts its own bookkeeping, too (`SO_SNDBUF`, socket(7)).
    """
    if not _LINUX:
        return None
    try:
        buffer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        return max(0, buffer // 2 - _waiting(sock))
    except OSError:
        return None


def make_room(sock: socket.socket) -> None:
    """Have the kernel take as much as it may for this client without waiting for it."""
    with suppress(OSError):
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < 2 * _SEND_BUFFER:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)


def cut(sock: socket.socket) -> None:
    """End the connection from here: a `send` that waits for the client in another thread fails."""
    with suppress(OSError), _in_kernel(sock) as kernel:
        kernel.shutdown(socket.SHUT_RDWR)


def stop_reading(sock: socket.socket) -> None:
    """Have the server find its client's requests at an end, as soon as it has sent its response.

    gunicorn waits two seconds in its main thread for a client to close its end of a connection that the
    response has closed.
    """
    with suppress(OSError), _in_kernel(sock) as kernel:
        kernel.shutdown(socket.SHUT_RD)


@contextmanager
def _in_kernel(sock: socket.socket) -> Generator[_socket.socket]:
    """The same connection without what gevent or TLS makes of a call."""
    kernel = _socket.socket(fileno=sock.fileno())
    try:
        yield kernel
    finally:
        kernel.detach()


def _waiting(sock: socket.socket) -> int:
    """How many bytes have been sent that the client has not acknowledged (SIOCOUTQ, tcp(7))."""
    from fcntl import ioctl
    from termios import TIOCOUTQ

    return int.from_bytes(ioctl(sock.fileno(), TIOCOUTQ, bytes(4)), sys.byteorder)


def _has_more(sock: socket.socket) -> bool:
    with _in_kernel(sock) as kernel:
        try:
            return bool(kernel.recv(1, PEEK))
        except BlockingIOError:
            return True
