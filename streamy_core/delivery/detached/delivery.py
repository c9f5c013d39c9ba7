"""Detached delivery: the client's socket is taken from its server, and given to the loop."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import ClassVar, Final

from ...engine.byte_reader import ByteReader
from ...observers import DisconnectReason
from .. import sockets
from ..delivery import Chosen, Exchange, Terms, turn_away
from ..session import Session
from .callbacks import Callbacks
from .client import Arrival, Client
from .loop import Loop
from .sending import DELIVERY
from .takeover import encode_head, is_plain_head, take_over

logger: Final = logging.getLogger("streamy.delivery")


class DetachedDelivery:
    """A `Delivery`. Its loop starts with its first client. Any thread."""

    name: ClassVar[str] = DELIVERY

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._lock = threading.Lock()
        self._loop: Loop | None = None
        self._warned = False
        self._callbacks = Callbacks()

    def serve(self, session: Session, reader: ByteReader, exchange: Exchange) -> Iterable[bytes] | None:
        """Take the client from its server, if that can be and is wanted. See `Delivery`.

        One beyond the limits is taken, too, given what it missed, and told to come back; one beyond
        even those, or without a descriptor left for it, is told to come back at once.
        """
        if not self._may_take(exchange):
            return None
        limits = self._terms.limits
        stays = limits.acquire(session.key)
        if not (stays or limits.acquire_visit()):
            return self._turn_away(session, exchange)
        chunked = exchange.server.chunks(exchange.environ)
        head = encode_head(exchange.status, exchange.headers, chunked=chunked)
        descriptor = exchange.server.descriptor(exchange.environ)
        assert descriptor is not None
        make = partial(Client, session=session, chunked=chunked, stays=stays, left=exchange.left)
        try:
            return take_over(descriptor, head, partial(self._adopt, make, reader))
        except OSError:  # descriptors have run out
            self._release(session, stays)
            return self._turn_away(session, exchange)

    def _may_take(self, exchange: Exchange) -> bool:
        server, environ, wanted = exchange.server, exchange.environ, self._terms.settings.delivery
        if wanted == "wsgi" or self._terms.hub.closed:
            return False
        if not server.may_take(environ, closes=exchange.closes):
            if wanted == self.name:
                self._warn()
            return False
        return is_plain_head(exchange.headers)

    def _turn_away(self, session: Session, exchange: Exchange) -> Iterable[bytes]:
        turn_away(exchange.server, exchange.environ)
        if exchange.left is not None:
            self._callbacks.run(exchange.left)
        self._terms.observer.disconnected(session, self.name, DisconnectReason.BUSY)
        return (self._terms.last_bytes(DisconnectReason.BUSY),)

    def disconnect(self, chosen: Chosen, reason: DisconnectReason) -> None:
        """See `Delivery`."""
        if self._loop is not None:
            self._loop.disconnect(chosen, reason)

    def stuck_for(self) -> float:
        """As `Loop.stuck_for`; 0 where it hasn't begun."""
        return 0.0 if self._loop is None else self._loop.stuck_for()

    def shutdown(self, timeout: float) -> None:
        """See `Delivery`."""
        if self._loop is not None:
            self._loop.shutdown(timeout)
        self._callbacks.close(timeout)

    def _adopt(
        self,
        make_client: Callable[[socket.socket], Client],
        reader: ByteReader,
        sock: socket.socket,
        head: bytes,
    ) -> None:
        sockets.set_user_timeout(sock, self._terms.settings.tcp_user_timeout)
        sockets.send_at_once(sock)
        self._started_loop().adopt(Arrival(make_client(sock), reader, head))

    def _started_loop(self) -> Loop:
        with self._lock:
            if self._loop is None:
                self._loop = Loop(
                    self._terms.replayer,
                    policy=self._terms.settings.slow_client_policy,
                    give_up_after=self._terms.settings.tcp_user_timeout,
                    last_bytes=self._terms.last_bytes,
                    gone=self._gone,
                    concerned=self._terms.journal.concerns,
                    rechecks=self._terms.rechecks,
                    observer=self._terms.observer,
                )
            return self._loop

    def _gone(self, client: Client, reason: DisconnectReason) -> None:
        self._release(client.session, client.stays)
        told = reason if client.stays else DisconnectReason.BUSY  # such a one was never connected
        self._terms.observer.disconnected(client.session.told, self.name, told)
        if client.left is not None:
            self._callbacks.run(client.left)

    def _release(self, session: Session, stays: bool) -> None:
        if stays:
            self._terms.limits.release(session.key)
        else:
            self._terms.limits.release_visit()

    def _warn(self) -> None:
        with self._lock:
            warned, self._warned = self._warned, True
        if not warned:
            logger.warning(
                "STREAMY_DELIVERY is 'detached', but this server doesn't allow it for every request (it "
                "needs gunicorn's sync or gthread worker, uWSGI with threads, or Werkzeug's server; plain "
                "TCP, HTTP/1, and a `start_response` that no middleware wraps where a request has a body): "
                "these clients hold a thread each"
            )
