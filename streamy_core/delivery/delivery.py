"""The two ways in which bytes reach clients, as one interface; and what both go by."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, Protocol, Self

from ..config import Settings
from ..engine.byte_reader import ByteReader
from ..engine.frames import retry_after_end
from ..engine.hub import Hub
from ..events import MAX_RETRY_MS
from ..observers import DisconnectReason, Observer
from ..wire import encode_last
from . import sockets
from .journal import Journal
from .limits import Limits
from .rechecks import Rechecks
from .replayer import Replayer
from .servers import UNBOUNDED, Server
from .session import Session

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Chosen = Callable[[Session], bool]
"""Whether a client is one of those that are meant. Must not block."""


class Exchange(NamedTuple):
    """The request that a client came with, and the head of the response to it.

    closes: whether the server will close the connection after the response.
    left:   to be called once the client has left.
    """

    server: Server
    environ: WSGIEnvironment
    status: str
    headers: list[tuple[str, str]]
    closes: bool
    left: Callable[[], object] | None = None


class Connection(NamedTuple):
    """What a client's server tells of its connection.

    server:   which it is.
    socket:   the client's, if the server shows it.
    capacity: how many requests the server serves at once; None: nobody knows.
    """

    server: Server
    socket: socket.socket | None = None
    capacity: int | None = None

    @classmethod
    def of(cls, server: Server, environ: WSGIEnvironment | None) -> Self:
        """That of the request with this environ."""
        if environ is None:
            return cls(server, capacity=UNBOUNDED)
        return cls(server, server.socket(environ), server.capacity(environ))


class Delivery(Protocol):
    """One way of delivering, in one process. Any thread."""

    name: ClassVar[str]
    """As observers are told it."""

    def serve(self, session: Session, reader: ByteReader, exchange: Exchange) -> Iterable[bytes] | None:
        """Deliver to this client from now on.

        Returns the body for the server, which is empty where somebody else delivers; None if this
        client can't be served so, which changes nothing.
        """

    def disconnect(self, chosen: Chosen, reason: DisconnectReason) -> None:
        """Tell all clients that are `chosen` to come back, and close their connections."""

    def shutdown(self, timeout: float) -> None:
        """Disconnect all clients, with what is at hand, in `timeout` seconds. Nobody is served any more."""


def turn_away(server: Server, environ: WSGIEnvironment) -> None:
    """Have the connection closed as soon as the response has been sent. Call it when all has been read."""
    if (sock := server.socket(environ)) is not None:
        sockets.stop_reading(sock)


_OF_MANY: Final = (DisconnectReason.SHUTDOWN, DisconnectReason.DISCONNECTED, DisconnectReason.REVOKED)
"""Why many may leave at once."""

_COME_BACK_A_SECOND: Final = 500
"""As many clients as a worker takes back without its other requests suffering: a fifth of a core."""


def retry_ms(settings: Settings, leaving: int = 1) -> int:
    """How long a client is to wait before it reconnects, in milliseconds: not as long as everyone else.

    leaving: how many are told at once. The more there are, the longer it may be.
    """
    delay = settings.reconnect_delay
    spread = max(delay, leaving / _COME_BACK_A_SECOND)
    return min(MAX_RETRY_MS, round(1000 * (delay / 2 + spread * random.random())))


@dataclass(frozen=True, slots=True)
class Terms:
    """What both deliveries of a process go by."""

    hub: Hub
    settings: Settings
    limits: Limits
    journal: Journal
    replayer: Replayer
    observer: Observer
    rechecks: Rechecks

    def last_bytes(self, reason: DisconnectReason) -> bytes:
        """Those for a client that is disconnected: when to come back, which isn't when everyone does."""
        if reason is DisconnectReason.ENDED:
            return encode_last(retry_after_end())
        return encode_last(retry_ms(self.settings, self.limits.leaving if reason in _OF_MANY else 1))
