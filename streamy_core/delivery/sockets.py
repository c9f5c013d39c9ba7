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
_IN_FLIGHT: Final = slice(24, 28)
_ACKED: Final = slice(120, 128)
_NOT_SENT: Final = slice(144, 148)
"""Where `tcpi_unacked`, `tcpi_bytes_acked` (since Linux 4.1) and `tcpi_notsent_bytes` (4.6) stand."""
_TCP_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_UNSENT: Final = 131_072
"""Bytes that the kernel holds for a client beyond those it may send: what more there is waits in the log."""
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
            return _number(_info(sock, _ACKED.stop), _ACKED)
        return waiting(sock)
    except OSError:
        return None


def is_held_back(sock: socket.socket) -> bool:
    """Whether bytes wait for the client to make room, while none are on their way that it might acknowledge.

    So its system is there, and its window is closed (RFC 9293 section 3.8.6.1).
    """
    if not _LINUX or sock.family not in _TCP:
        return False
    try:
        info = _info(sock, _NOT_SENT.stop)
    except OSError:
        return False
    return _number(info, _NOT_SENT) > 0 and _number(info, _IN_FLIGHT) == 0


def room(sock: socket.socket) -> int | None:
    """How many bytes the kernel surely takes without waiting for the client; None: nobody knows.

    Half of what is free: the kernel counts its own bookkeeping, too (`SO_SNDBUF`, socket(7)).
    """
    if not _LINUX:
        return None
    try:
        buffer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        return max(0, buffer // 2 - waiting(sock))
    except OSError:
        return None


def waiting(sock: socket.socket) -> int:
    """How many bytes have been sent that the client has not acknowledged (SIOCOUTQ, tcp(7)).

    0 where that isn't known, or the connection is over.
    """
    if not _LINUX:
        return 0
    from fcntl import ioctl
    from termios import TIOCOUTQ

    with suppress(OSError):
        return int.from_bytes(ioctl(sock.fileno(), TIOCOUTQ, bytes(4)), sys.byteorder)
    return 0


def set_user_timeout(sock: socket.socket, seconds: float) -> None:
    """Have the kernel give up on a peer that acknowledges nothing for so long (RFC 5482, tcp(7)).

    0: as long as it does by itself, which is about a quarter of an hour.
    """
    if _LINUX and sock.family in _TCP:
        with suppress(OSError):  # it may be dead already, which the loop will notice
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))


def send_at_once(sock: socket.socket) -> None:
    """Have the kernel wait for no more bytes before it sends, and hold few that it can't send yet."""
    if _LINUX and sock.family in _TCP:
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _UNSENT)


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


def _info(sock: socket.socket, size: int) -> bytes:
    return sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, size)


def _number(info: bytes, place: slice) -> int:
    return int.from_bytes(info[place], sys.byteorder)


@contextmanager
def _in_kernel(sock: socket.socket) -> Generator[_socket.socket]:
    """The same connection without what gevent or TLS makes of a call."""
    kernel = _socket.socket(fileno=sock.fileno())
    try:
        yield kernel
    finally:
        kernel.detach()


def _has_more(sock: socket.socket) -> bool:
    with _in_kernel(sock) as kernel:
        try:
            return bool(kernel.recv(1, PEEK))
        except BlockingIOError:
            return True
