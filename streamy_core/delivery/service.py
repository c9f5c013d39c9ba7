"""What serves the clients of one manager in this process: both deliveries, and what is for all clients."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from ..broker import ForkGuard
from ..commands import EVERYBODY, DisconnectCommand
from ..config import Settings
from ..engine.byte_reader import ByteReader
from ..engine.hub import Hub
from ..events import Event
from ..observers import DisconnectReason, Observer
from .command_reader import CommandReader
from .delivery import Connection, Delivery, Exchange, Terms
from .descriptors import descriptors_of, share_descriptors
from .detached.delivery import DetachedDelivery
from .gate import Gate
from .journal import Journal
from .leveller import Leveller
from .limits import Limits
from .rechecks import Rechecks
from .replayer import Replayer, Work
from .revocations import Revocations
from .servers import Server
from .session import Session
from .shared_counts import SharedCounts
from .sharing import Sharing
from .shutdown import ShutdownWatcher
from .wsgi import WsgiBody, WsgiDelivery

logger: Final = logging.getLogger("streamy.delivery")

_SHUTDOWN_TAKES: Final = 1.5

_CATCHING_UP_TAKES: Final = 0.25

_RECENT: Final = 60.0
"""Seconds for which a command disconnects clients of a process that wasn't there when it was given."""

_CLOCKS_DIFFER: Final = 2.0
"""Seconds by which clocks of machines may differ: who asks once more than needed loses nothing."""


Tell = Callable[[str, Event], object]


def _nothing() -> None:
    """Where nobody else is to be told."""


class DeliveryService:
    """See the module. Any thread; a forked process begins anew, without clients.

    tell: appends an event of Streamy's own to a stream, for other processes; None: there are none to hear it.
    """

    _lock: threading.Lock
    _limits: Limits
    _detached: DetachedDelivery
    _wsgi: WsgiDelivery
    _journal: Journal
    _revocations: Revocations
    _replayer: Replayer
    _rechecks: Rechecks
    _commands: CommandReader | None
    _leveller: Leveller | None
    _shutdown_watcher: ShutdownWatcher | None
    _gate: Gate
    _shared: SharedCounts | None
    _sharing: Sharing | None
    _begun: bool

    def __init__(self, hub: Hub, settings: Settings, observer: Observer, tell: Tell | None = None) -> None:
        self._hub = hub
        self._tell = tell
        self._settings = settings
        self._observer = observer
        self._began: Callable[[], object] = _nothing
        self._stops: Callable[[], object] = _nothing
        self._guard = ForkGuard(self._start)

    def accompany(self, began: Callable[[], object], stops: Callable[[], object]) -> None:
        """Have these called once there is a client here, and when the process is about to stop. They mustn't
        block."""
        self._began, self._stops = began, stops

    def begin(self, server: Server) -> None:
        """See that this process hears of commands, and of its server's stop."""
        self._begin(server)

    def detach(self, session: Session, reader: ByteReader, exchange: Exchange) -> Iterable[bytes] | None:
        """The body for the server of a client that is served apart from it; None if it has to deliver."""
        self._begin(exchange.server)
        return self._detached.serve(session, reader, exchange)

    def body(self, session: Session, reader: ByteReader, connection: Connection) -> WsgiBody:
        """The body by which a client's server delivers to it."""
        self._begin(connection.server)
        return self._wsgi.body(session, reader, connection)

    def refusal(self, streams: Sequence[str], key: str | None) -> int | None:
        """For how many milliseconds a client that asks now has to stay away; None: it may come in."""
        self._guard.check()
        return self._gate.refusal(streams, key)

    def revoked(self, server: Server, streams: Collection[str], key: str | None, granted_at: float) -> bool:
        """Whether what was granted then, in seconds since 1970, was revoked by `disconnect` since.

        Raises BrokerUnavailable while nobody knows.
        """
        self._begin(server)
        if self._commands is not None:
            self._commands.wait()
        return self._revocations.concern(streams, key, granted_at)

    def disconnect(self, command: DisconnectCommand, age: float = 0.0) -> None:
        """Disconnect the clients of this process that a command means, which was given so long ago."""
        self._revocations.add(command)
        if age >= _RECENT:
            return
        given_at = self._journal.add(command, age) + (_CLOCKS_DIFFER if age else 0.0)
        everybody = command == EVERYBODY

        def chosen(session: Session) -> bool:
            since = session.requested_at if everybody else session.decided_at
            return command.means(session) and since <= given_at

        self._limits.note_leaving(command.key)
        for delivery in self._deliveries:
            delivery.disconnect(chosen, DisconnectReason.DISCONNECTED)

    def stuck_for(self) -> float:
        """For how many seconds the event loop hasn't turned, as far as it was asked: each call asks."""
        return 0.0 if self._guard.inherited else self._detached.stuck_for()

    def shutdown(self) -> None:
        """Disconnect all clients, at once. Nobody is served any more."""
        self._stops()
        if self._leveller is not None:
            self._leveller.close()
        self._hub.catch_up(_CATCHING_UP_TAKES)
        self._hub.stop()
        self._rechecks.close()
        self._limits.note_leaving()
        for delivery in self._deliveries:
            delivery.shutdown(_SHUTDOWN_TAKES)
        self._replayer.close()
        if self._sharing is not None:
            self._sharing.close()

    def close(self) -> None:
        """Shut down, and watch the server no longer. Closing twice does nothing."""
        if self._guard.inherited:
            return
        if self._shutdown_watcher is not None:
            self._shutdown_watcher.close()
        if self._commands is not None:
            self._commands.close()
        self.shutdown()

    @property
    def counts(self) -> SharedCounts | None:
        """What is known of keys' clients in all processes; None where no setting asks for it."""
        self._guard.check()
        return self._shared

    @property
    def replays(self) -> Work:
        """How much of the log is being read for clients, and how much waits."""
        self._guard.check()
        return self._replayer.work

    def __len__(self) -> int:
        """How many clients are being served in this process."""
        return 0 if self._guard.inherited else len(self._limits)

    @property
    def _deliveries(self) -> tuple[Delivery, ...]:
        return (self._wsgi, self._detached)

    def _start(self) -> None:
        self._lock = threading.Lock()
        settings = self._settings
        total = settings.max_connections_per_key_total
        self._shared = None if total is None else SharedCounts(total)
        self._sharing = None
        self._limits = Limits(
            most=settings.max_connections, per_key=settings.max_connections_per_key, shared=self._shared
        )
        self._gate = Gate(self._limits, settings, self._observer)
        self._journal = Journal()
        self._revocations = Revocations()
        self._replayer = Replayer(self._settings.retry, self._hub.log.failed)
        self._rechecks = Rechecks(self._settings, self._limits.note_so_many_leaving)
        terms = Terms(
            self._hub,
            self._settings,
            self._limits,
            self._journal,
            self._replayer,
            self._observer,
            self._rechecks,
        )
        self._detached = DetachedDelivery(terms)
        self._wsgi = WsgiDelivery(terms)
        self._commands = None
        self._leveller = None
        self._shutdown_watcher = None
        self._begun = False

    def _begin(self, server: Server) -> None:
        """See that this process hears of commands, and of its server's stop, once it has a client."""
        self._guard.check()
        if not self._begun:
            self._begin_once(server)

    def _begin_once(self, server: Server) -> None:
        with self._lock:
            if self._begun or self._hub.closed:
                return
            if (trouble := server.trouble()) is not None:
                logger.warning("%s", trouble)
            # Each once, also where a thread could not be started, and the next client tries again.
            if self._shutdown_watcher is None:
                self._shutdown_watcher = ShutdownWatcher(server, self.shutdown)
            if self._commands is None:
                missed = self._revocations.forget_before
                self._commands = CommandReader(self._hub, self.disconnect, missed, self._settings.retry)
            share_descriptors(self._limits, server, self._settings)
            if self._shared is not None and self._tell is not None and self._sharing is None:
                self._sharing = Sharing(self._hub, self._shared, self._tell)
            if self._settings.level_workers:
                self._level(server)
            self._begun = True
        self._began()

    def _level(self, server: Server) -> None:
        """See that this process has no more than its share of the clients, where its server's can be told."""

        def held() -> list[int] | None:
            pids = server.workers()
            return None if pids is None else descriptors_of(pids)

        if held() is None:
            logger.warning(
                "STREAMY_LEVEL_WORKERS is on, but nobody can tell what the other workers of this server (%s) "
                "have: it needs gunicorn on Linux, with /proc, that is started by the user of its workers. "
                "Nobody is let go early",
                server.name,
            )
            return
        self._leveller = Leveller(self._limits.__len__, held, self._let_go)

    def _let_go(self, count: int) -> None:
        """Tell so many clients to come back: those that have been here for longest."""
        left = iter(range(count))
        for delivery in self._deliveries:
            delivery.disconnect(lambda _: next(left, None) is not None, DisconnectReason.LEVELLED)
