"""What serves the clients of one manager in this process: both deliveries, and what is for all clients."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from ..broker import ForkGuard
from ..commands import DisconnectCommand
from ..config import Settings
from ..engine.byte_reader import ByteReader
from ..engine.hub import Hub
from ..errors import BrokerUnavailable, Closed
from ..observers import DisconnectReason, Observer
from .command_reader import CommandReader
from .delivery import Delivery, Exchange, Terms
from .detached.delivery import DetachedDelivery
from .limits import Limits
from .servers import Server
from .session import Session
from .shutdown import ShutdownWatcher
from .wsgi import WsgiBody, WsgiDelivery

_SHUTDOWN_TAKES: Final = 1.5


class DeliveryService:
    """See the module. Any thread; a forked process begins anew, without clients."""

    _lock: threading.Lock
    _limits: Limits
    _detached: DetachedDelivery
    _wsgi: WsgiDelivery
    _commands: CommandReader | None
    _shutdown_watcher: ShutdownWatcher | None

    def __init__(self, hub: Hub, settings: Settings, observer: Observer) -> None:
        self._hub = hub
        self._settings = settings
        self._observer = observer
        self._guard = ForkGuard(self._start)

    def detach(self, session: Session, reader: ByteReader, exchange: Exchange) -> Iterable[bytes] | None:
        """The body for the server of a client that is served apart from it; None if it has to deliver."""
        self._begin(exchange.server)
        return self._detached.serve(session, reader, exchange)

    def body(self, session: Session, reader: ByteReader, server: Server, capacity: int | None) -> WsgiBody:
        """The body by which a client's server delivers to it."""
        self._begin(server)
        return self._wsgi.body(session, reader, capacity)

    def disconnect(self, command: DisconnectCommand) -> None:
        """Disconnect the clients of this process that a command means."""
        stream_id, key = command

        def chosen(session: Session) -> bool:
            return stream_id in (None, *session.streams) and key in (None, session.key)

        for delivery in self._deliveries:
            delivery.disconnect(chosen, DisconnectReason.DISCONNECTED)

    def shutdown(self) -> None:
        """Disconnect all clients, at once. Nobody is served any more."""
        self._hub.stop()
        for delivery in self._deliveries:
            delivery.shutdown(_SHUTDOWN_TAKES)

    def close(self) -> None:
        """Shut down, and watch the server no longer. Closing twice does nothing."""
        if self._guard.inherited:
            return
        if self._shutdown_watcher is not None:
            self._shutdown_watcher.close()
        self.shutdown()

    def __len__(self) -> int:
        """How many clients are being served in this process."""
        return 0 if self._guard.inherited else len(self._limits)

    @property
    def _deliveries(self) -> tuple[Delivery, ...]:
        return (self._wsgi, self._detached)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._limits = Limits(
            most=self._settings.max_connections, per_key=self._settings.max_connections_per_key
        )
        terms = Terms(self._hub, self._settings, self._limits, self._observer)
        self._detached = DetachedDelivery(terms)
        self._wsgi = WsgiDelivery(terms)
        self._commands = None
        self._shutdown_watcher = None

    def _begin(self, server: Server) -> None:
        """See that this process hears of commands, and of its server's stop, once it has a client."""
        self._guard.check()
        with self._lock:
            if self._shutdown_watcher is None:
                self._shutdown_watcher = ShutdownWatcher(server, self.shutdown)
            if self._commands is None and not self._hub.closed:
                with suppress(BrokerUnavailable, Closed):  # the next client tries again
                    self._commands = CommandReader.open(self._hub, self.disconnect, self._settings.retry)
