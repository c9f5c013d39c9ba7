"""One client of the loop: its socket, and what the socket hasn't taken yet."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from ...engine.byte_reader import ByteReader
from ...observers import DisconnectReason
from ..session import Expiry, Session
from .takeover import LAST_CHUNK, encode_chunk

if TYPE_CHECKING:
    from .groups import Group
    from .joint import Member

_VISIT: Final = 5.0
"""Seconds in which a client that may not stay is given what it missed."""

_DISCARDED: Final = 65_536
_MOST_UNREAD: Final = 1024 * 1024
"""Bytes that a client may send after its request's head: the body of one that nobody reads."""


class Client:
    """Only the loop's thread touches it.

    group:   the clients that it is sent the same bytes with, or what it is among those of several streams;
             None before it has arrived, and once closed.
    pending: bytes that its socket hasn't taken. While there are some it is alone in its group, and the
             selector tells when it takes more.
    chunked: whether its bytes go out as chunks (RFC 9112 section 7.1), as HTTP/1.1 allows. Some
             clients read a body without chunks by blocks, and would wait until one is full.
    stays:   whether it is kept when it has been given what it missed.
    left:    to be called once it has left, by a thread that may block.
    """

    __slots__ = ("_unread", "chunked", "group", "left", "pending", "session", "sock", "stays")

    def __init__(
        self,
        sock: socket.socket,
        session: Session,
        *,
        chunked: bool = False,
        stays: bool = True,
        left: Callable[[], object] | None = None,
    ) -> None:
        self.sock: socket.socket = sock
        self.session: Session = session
        self.chunked: bool = chunked
        self.stays: bool = stays
        self.left: Callable[[], object] | None = left
        self._unread = _MOST_UNREAD
        self.group: Group | Member | None = None
        self.pending: memoryview | bytes = b""

    @property
    def expiry(self) -> Expiry | None:
        """When it is told to come back; None: never."""
        if self.stays:
            return self.session.expiry
        return Expiry(min(_VISIT, self.session.seconds), DisconnectReason.BUSY)

    @property
    def expires_for(self) -> DisconnectReason:
        """Why it is told to come back then."""
        return DisconnectReason.EXPIRED if self.expiry is None else self.expiry.reason

    def framed(self, data: bytes) -> bytes:
        """The data as it goes out to this client."""
        return encode_chunk(data) if self.chunked else data

    def is_there(self) -> bool:
        """Whether it still listens. What it says after its request's head is not for us, and not much."""
        try:
            said = len(self.sock.recv(_DISCARDED))
            self._unread -= said
            return said > 0 and self._unread >= 0
        except BlockingIOError:
            return True
        except OSError:
            return False

    def send_last(self, data: bytes) -> None:
        """Send what is pending, and then this as the last, as far as the socket takes it."""
        with suppress(OSError):
            if self.pending:
                self.pending = self.pending[self.send(self.pending) :]
            if not self.pending:  # in the middle of a frame nothing can be said
                self.send(self.framed(data) + LAST_CHUNK if self.chunked else data)
            # Unread bytes would make the close a reset, and that throws away what is on its way.
            self.sock.recv(_DISCARDED)

    def send(self, data: bytes | memoryview) -> int:
        """Send what the socket takes without blocking; how many bytes. Raises OSError if it is gone."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0


class Arrival(NamedTuple):
    """A client that is to be taken care of, its reader, and the head of its response."""

    client: Client
    reader: ByteReader
    head: bytes
