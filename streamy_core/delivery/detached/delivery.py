"""Detached delivery: the client's socket is taken from its server, and given to the loop."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterable
from functools import partial
from typing import ClassVar

from ...engine.byte_reader import ByteReader
from ...observers import DisconnectReason
from ..delivery import Chosen, Exchange, Terms
from ..session import Session
from .client import Client
from .loop import DELIVERY, Arrival, Loop
from .replayer import Replayer
from .takeover import encode_head, is_plain_head, set_user_timeout, speaks_chunks, take_over

logger = logging.getLogger("streamy.delivery")


class DetachedDelivery:
    """A `Delivery`. Its loop starts with its first client. Any thread."""

    name: ClassVar[str] = DELIVERY

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._lock = threading.Lock()
        self._loop: Loop | None = None
        self._replayer: Replayer | None = None
        self._warned = False

    def serve(self, session: Session, reader: ByteReader, exchange: Exchange) -> Iterable[bytes] | None:
        """Take the client from its server, if that can be and is wanted. See `Delivery`."""
        wanted = self._terms.settings.delivery
        if wanted == "wsgi" or self._terms.hub.closed:
            return None
        sock = exchange.server.socket(exchange.environ)
        if sock is None:
            if wanted == self.name:
                self._warn()
            return None
        if not is_plain_head(exchange.headers) or not exchange.server.has_read_all(exchange.environ):
            return None
        if not self._terms.limits.acquire(session.key):
            return None
        chunked = speaks_chunks(exchange.environ)
        head = encode_head(exchange.status, exchange.headers, chunked=chunked)
        try:
            return take_over(sock, head, partial(self._adopt, session, reader, chunked))
        except OSError:
            self._terms.limits.release(session.key)
            return None

    def disconnect(self, chosen: Chosen, reason: DisconnectReason) -> None:
        """See `Delivery`."""
        if self._loop is not None:
            self._loop.disconnect(chosen, reason)

    def shutdown(self, timeout: float) -> None:
        """See `Delivery`."""
        loop, replayer = self._loop, self._replayer
        if loop is not None:
            loop.shutdown(timeout)
        if replayer is not None:
            replayer.close()

    def _adopt(
        self, session: Session, reader: ByteReader, chunked: bool, sock: socket.socket, head: bytes
    ) -> None:
        set_user_timeout(sock, self._terms.settings.tcp_user_timeout)
        client = Client(sock, session, chunked=chunked)
        self._started_loop().adopt(Arrival(client, reader, head))

    def _started_loop(self) -> Loop:
        with self._lock:
            if self._loop is None:
                self._replayer = Replayer(self._terms.settings.retry, self._terms.hub.log.failed)
                self._loop = Loop(
                    self._replayer,
                    policy=self._terms.settings.slow_client_policy,
                    last_bytes=self._terms.last_bytes,
                    gone=self._gone,
                    observer=self._terms.observer,
                )
            return self._loop

    def _gone(self, client: Client, reason: DisconnectReason) -> None:
        self._terms.limits.release(client.session.key)
        self._terms.observer.disconnected(client.session, self.name, reason)

    def _warn(self) -> None:
        with self._lock:
            warned, self._warned = self._warned, True
        if not warned:
            logger.warning(
                "STREAMY_DELIVERY is 'detached', but this server doesn't allow it (detached delivery needs "
                "gunicorn's sync or gthread worker, plain TCP, HTTP/1): clients hold a thread each"
            )
