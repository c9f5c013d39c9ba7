"""Which delivery a client gets, and what both have in common: limits, signals, leaving."""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from blinker import NamedSignal

from ..config import Settings
from ..engine.hub import Hub
from ..errors import BrokerUnavailable, Closed
from ..signals import client_connected, client_disconnected, slow_client
from ..strategies.keepalive import KeepAliveScheduler
from ..strategies.slow_clients import Lag
from ..wire import encode_retry
from .commands import Control
from .connection import Connection
from .detached.groups import Client
from .detached.loop import Loop
from .detached.replayer import Replayer
from .detached.takeover import (
    client_socket,
    encode_head,
    notice_death,
    plain_socket,
    speaks_chunks,
    take_over,
)
from .limits import Roster, threads_of
from .servers.gunicorn import Departure
from .wsgi import EventStreamBody

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

logger = logging.getLogger("streamy")

_LEAVING_TAKES: Final = 1.5
_AGE_SPREAD: Final = 0.2


class Delivery:
    """Serves the clients of one hub. Any thread.

    emit: sends a signal with these news.
    """

    _pid: int
    _lock: threading.Lock
    _roster: Roster
    _loop: Loop | None
    _replayer: Replayer | None
    _departure: Departure | None
    _control: Control | None
    _warned: bool

    def __init__(self, hub: Hub, settings: Settings, emit: Callable[..., None]) -> None:
        self._hub = hub
        self._settings = settings
        self._emit = emit
        self._fork_lock = threading.Lock()
        self._born()

    def body(
        self,
        connection: Connection,
        environ: WSGIEnvironment | None,
        keep_alive: KeepAliveScheduler,
        key: str | None,
    ) -> EventStreamBody:
        """The body for a client. It takes up nothing before it is read, or taken over."""
        if self._pid != os.getpid():
            with self._fork_lock:
                if self._pid != os.getpid():
                    self._born()
        age = self._settings.max_age
        return EventStreamBody(
            connection,
            self,
            slow_clients=self._settings.slow_clients,
            threads=None if environ is None else threads_of(environ),
            keep_alive=keep_alive,
            retry=self._settings.retry,
            key=key,
            age=None if age is None else age * (1 - _AGE_SPREAD * random.random()),
        )

    def take_over(
        self, body: EventStreamBody, environ: WSGIEnvironment, status: str, headers: Sequence[tuple[str, str]]
    ) -> Iterator[bytes] | None:
        """Detach the client from its server, if that can be and is wanted.

        Returns what the server is to be given as the body; None if it has to deliver itself.
        """
        if self._settings.delivery == "generator" or self._hub.closed:
            return None
        chunked = speaks_chunks(environ)
        head = encode_head(status, headers, chunked=chunked)
        sock = client_socket(environ)
        if sock is None and self._settings.delivery == "detached" and plain_socket(environ) is None:
            self._warn_not_detached()
        if sock is None:
            return None
        self._follow_orders()
        loop = self._in_charge()
        if not self._roster.enter(body.key):
            return None
        try:
            return take_over(sock, head, partial(self._adopt, loop, body, chunked))
        except OSError:
            self._roster.leave(body.key)
            return None

    def seat(self, body: EventStreamBody) -> bool:
        """Whether a body may stay and hold its thread. If not, it gives what was missed, and no more."""
        self._follow_orders()
        admitted = self._roster.enter(body.key)
        if not admitted or not self._roster.seat(body):
            if admitted:
                self._roster.leave(body.key)
            self._say(client_disconnected, body, delivery="generator", reason="busy")
            return False
        self._say(client_connected, body, delivery="generator")
        return True

    def unseat(self, body: EventStreamBody, reason: str) -> None:
        """A body that had a seat is through."""
        self._roster.unseat(body)
        self._roster.leave(body.key)
        self._say(client_disconnected, body, delivery="generator", reason=reason)

    def slow(self, client: Client | EventStreamBody, lag: Lag) -> None:
        """The slow-client policy has decided against it."""
        self._say(slow_client, client, lag=lag)

    def farewell(self) -> bytes:
        """The last bytes for a client that is to come back, after a delay that isn't everyone's."""
        return encode_retry(round(self._settings.reconnect_delay * 1000 * (0.5 + random.random())))

    def disconnect(self, stream_id: str | None, key: str | None) -> None:
        """Send away the clients of this process that read this stream, or are this key's, or both."""

        def chosen(streams: Sequence[str], whose: str | None) -> bool:
            return (stream_id is None or stream_id in streams) and (key is None or key == whose)

        for body in self._roster.seated():
            if chosen(body.streams, body.key):
                body.send_away("disconnected")
        if self._loop is not None:
            self._loop.disconnect(lambda client: chosen(client.streams, client.key), "disconnected")

    def leave(self) -> None:
        """Send all clients away, at once. Nobody is served any more."""
        loop, replayer = self._loop, self._replayer
        self._hub.stop()
        if loop is not None:
            loop.leave(_LEAVING_TAKES)
        if replayer is not None:
            replayer.close()

    def close(self) -> None:
        """Leave, and stop observing the server. Closing twice does nothing."""
        if self._pid != os.getpid():
            return
        if self._departure is not None:
            self._departure.close()
        self.leave()

    def __len__(self) -> int:
        """How many clients are being served in this process."""
        return len(self._roster)

    def _born(self) -> None:
        self._lock = threading.Lock()
        settings = self._settings
        self._roster = Roster(
            slots=settings.generator_slots,
            most=settings.max_connections,
            per_key=settings.max_connections_per_key,
        )
        self._loop = None
        self._replayer = None
        self._departure = None
        self._control = None
        self._warned = False
        self._pid = os.getpid()  # last: another thread takes the rest to be there then

    def _warn_not_detached(self) -> None:
        with self._lock:
            warned, self._warned = self._warned, True
        if not warned:
            logger.warning(
                "STREAMY_DELIVERY is 'detached', but this server doesn't allow it (detached delivery needs "
                "gunicorn's sync or gthread worker, plain TCP, HTTP/1): clients hold a thread each"
            )

    def _adopt(
        self, loop: Loop, body: EventStreamBody, chunked: bool, sock: socket.socket, head: bytes
    ) -> None:
        notice_death(sock, self._settings.dead_after)
        client = Client(sock, body.connection, body.keep_alive, pending=head, key=body.key, chunked=chunked)
        loop.adopt(client, body.age)

    def _in_charge(self) -> Loop:
        """This process's loop, started when it is first needed."""
        with self._lock:
            if self._loop is None:
                self._replayer = Replayer(self._settings.retry)
                self._loop = Loop(
                    self._replayer,
                    policy=self._settings.slow_clients,
                    farewell=self.farewell,
                    came=partial(self._say, client_connected, delivery="detached"),
                    gone=self._gone,
                    slow=self.slow,
                )
            return self._loop

    def _follow_orders(self) -> None:
        """See that this process hears of orders, and of its server's stop, once it has a client."""
        with self._lock:
            if self._departure is None:
                self._departure = Departure(self.leave)
            if self._control is None and not self._hub.closed:
                with suppress(BrokerUnavailable, Closed):  # the next client tries again
                    self._control = Control(self._hub, self.disconnect)

    def _gone(self, client: Client, reason: str) -> None:
        self._roster.leave(client.key)
        self._say(client_disconnected, client, delivery="detached", reason=reason)

    def _say(self, signal: NamedSignal, client: Client | EventStreamBody, **news: Any) -> None:
        self._emit(signal, streams=client.streams, key=client.key, **news)
