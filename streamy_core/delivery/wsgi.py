"""Delivery by a WSGI iterable: one thread or greenlet per client, on any server."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterable, Iterator
from socket import socket
from typing import ClassVar, Final

from ..engine.byte_reader import ByteReader
from ..engine.traces import hand_over
from ..errors import Closed
from ..observers import DisconnectReason
from ..strategies.clock import Clock
from ..strategies.keepalive import due_after_write
from ..strategies.slow_clients import Lag, Verdict, verdict_on
from ..wire import KEEP_ALIVE
from . import sockets
from .delivery import Chosen, Connection, Exchange, Terms
from .session import Session
from .slots import Slots
from .wsgi_backlog import WsgiBacklog
from .wsgi_monitor import WsgiMonitor

logger: Final = logging.getLogger("streamy.delivery")

_SLOW: Final = 1.0
"""Seconds for the server to be rid of what it was given: so long, and the client may be slow."""

_VISIT: Final = 1.0
"""Seconds in which a client that may not stay is given what it missed."""

_LEAVING: Final = 1.0
"""Seconds for which a client may take nothing once the process is about to stop."""


class WsgiDelivery:
    """A `Delivery`. Any thread."""

    name: ClassVar[str] = "wsgi"

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.clock: Clock = terms.settings.clock
        self.stopping: bool = False
        self._lock = threading.Lock()
        self._bodies: dict[WsgiBody, None] = {}  # who has been here for longest comes first
        self._staying = 0
        self._warned = False
        self._monitor = WsgiMonitor(self._with_sockets)

    def serve(self, session: Session, reader: ByteReader, exchange: Exchange) -> Iterable[bytes]:
        """See `Delivery`."""
        return self.body(session, reader, Connection.of(exchange.server, exchange.environ))

    def body(self, session: Session, reader: ByteReader, connection: Connection) -> WsgiBody:
        """The body for a client. It takes up nothing before it is read."""
        slots = Slots.of(connection.capacity, self.terms.settings.wsgi_slots)
        if connection.capacity is None and self.terms.settings.wsgi_slots is None:
            self._warn(connection)
        return WsgiBody(session, reader, self, slots, connection)

    def acquire(self, body: WsgiBody, slots: int) -> bool:
        """Whether a body may stay and hold its thread. If not, it may visit, or gives nothing."""
        counted = self.terms.limits.acquire(body.session.key)
        with self._lock:
            self._bodies[body] = None
            stays = counted and self._staying < slots
            self._staying += stays
        if body.socket is not None:
            self._monitor.start()
        self.terms.rechecks.add(body.session, body.lose)
        if stays:
            self.terms.observer.connected(body.session, self.name)
        elif counted:
            self.terms.limits.release(body.session.key)
        return stays

    def release(self, body: WsgiBody, reason: DisconnectReason, *, stayed: bool, visited: bool) -> None:
        """A body that had begun is through."""
        with self._lock:
            self._bodies.pop(body, None)
            self._staying -= stayed
        self.terms.rechecks.discard(body.session)
        if stayed:
            self.terms.limits.release(body.session.key)
        if visited:
            self.terms.limits.release_visit()
        told = reason if stayed else DisconnectReason.BUSY  # such a one was never connected
        self.terms.observer.disconnected(body.session.told, self.name, told)

    def disconnect(self, chosen: Chosen, reason: DisconnectReason) -> None:
        """See `Delivery`."""
        with self._lock:
            bodies = [body for body in self._bodies if chosen(body.session)]
        for body in bodies:
            body.disconnect(reason)

    def shutdown(self, timeout: float) -> None:
        """See `Delivery`. Nobody is waited for: a thread may be in the middle of the server's own `send`."""
        self.stopping = True
        with self._lock:
            bodies = list(self._bodies)
        for body in bodies:
            body.wake()  # the hub has stopped: each gives what the windows hold, and ends

    def _warn(self, connection: Connection) -> None:
        with self._lock:
            warned, self._warned = self._warned, True
        if not warned:
            logger.warning(
                "nobody can tell how many requests this server (%s) serves at once: as many streams as it "
                "has threads would stop it. Set STREAMY_WSGI_SLOTS to half of its threads, or "
                "STREAMY_MAX_CONNECTIONS to fewer than those",
                connection.server.name,
            )

    def _with_sockets(self) -> list[WsgiBody]:
        with self._lock:
            return [body for body in self._bodies if body.socket is not None]


class WsgiBody(Iterator[bytes]):
    """The body of one response. Takes a slot at its first `next`, so that one never read leaks nothing.

    An object and not a generator: `close` works before the first `next`, too, and ends one that is
    under way in another thread. One thread at a time calls `next`.

    Without a slot it gives what was missed, as far as the log is read in time, and the kernel takes that
    without waiting for the client: so neither a silent backend nor who doesn't read costs a thread.
    """

    def __init__(
        self,
        session: Session,
        reader: ByteReader,
        delivery: WsgiDelivery,
        slots: Slots,
        connection: Connection,
    ) -> None:
        self.session: Session = session
        self.reader = reader
        self.socket: socket | None = connection.socket
        self._delivery = delivery
        self._terms = delivery.terms
        self._slots = slots
        self._clock = delivery.clock
        self._wake: threading.Event | None = None
        self._lock = threading.Lock()
        self._stays = self._visits = False
        self._over = False
        self._disconnected: DisconnectReason | None = None
        self._expires_at: float | None = None
        self._keep_alive_at: float | None = None
        self._backlog = WsgiBacklog(reader, self._terms)
        self._gave_at = math.inf
        self._sending = False
        self._taken: int | None = None
        self._took_at = 0.0
        self._skips = False

    def __next__(self) -> bytes:
        self._sending = False
        if self._over:
            raise StopIteration
        wake = self._wake or self._begin()
        if self._may_be_slow():
            self._ask_policy()
        while self._disconnected is None:
            if self._over:
                raise StopIteration
            if self._expires_at is not None and self._expires_at <= self._clock():
                self._disconnected = self._reason_of_expiry()
            elif wake.is_set():
                # Cleared before looking: what comes in between sets it once more.
                wake.clear()
                if data := self._look(wake):
                    if not self._is_taken_at_once(data):
                        break
                    wake.set()
                    return self._given(data, self.reader.took)
                if not self._backlog.awaited and (reason := self.reader.over) is not None:
                    self._leave(reason)
            elif not (self._stays or self._backlog.awaited):
                break
            elif self.reader.hub.closed:
                self._disconnected = DisconnectReason.SHUTDOWN
            elif not self._clock.wait(wake, self._due_at()) and self._keep_alive_is_due():
                return self._given(KEEP_ALIVE, 0)
        reason = self._disconnected or DisconnectReason.BUSY
        self._end(reason)
        self._start_sending()
        return self._terms.last_bytes(reason)

    def disconnect(self, reason: DisconnectReason) -> None:
        """Tell the client to come back, and end. Any thread."""
        self._disconnected = reason
        self.wake()

    def wake(self) -> None:
        """Have it look at what is due, if it has begun. Any thread."""
        if self._wake is not None:
            self._wake.set()

    def lose(self, names: frozenset[str]) -> None:
        """Take these streams from the client, which goes on with its others. Any thread."""
        with self._lock:
            if self._over or not (lost := names.intersection(self.session.streams)):
                return
            session = self.session.without(lost)
            if session.streams:
                self._terms.rechecks.discard(self.session)
                self.session = session
                self._terms.rechecks.add(session, self.lose)
        self._backlog.lose(lost)
        if not session.streams:
            self.disconnect(DisconnectReason.REVOKED)
            return
        self._terms.observer.revoked(session.told, self._delivery.name, lost)
        self.wake()

    def close(self) -> None:
        """Free the slot. Closing twice does nothing."""
        self._end(DisconnectReason.GONE)
        self.wake()

    def look_after(self) -> None:
        """See `Watched`. For the monitor's thread."""
        sock = self.socket
        if sock is None or self._over:
            return
        if not self._sending:
            if sockets.has_left(sock):
                self.close()
            return
        now = self._clock()
        taken = sockets.taken(sock)
        if taken != self._taken:
            self._taken, self._took_at = taken, now
        elif taken is not None:
            self._judge(sock, now - self._took_at)

    def _judge(self, sock: socket, stalled: float) -> None:
        """The client has taken nothing for so long: cut it, if it may not go on."""
        if self._delivery.stopping:
            reason = DisconnectReason.SHUTDOWN if stalled > _LEAVING else None
        elif not self._stays:
            reason = DisconnectReason.BUSY if stalled > _LEAVING else None
        else:
            lag = Lag(self.reader.entries_behind(), bytes=0, stalled=stalled)
            verdict = verdict_on(lag, self._terms.settings.slow_client_policy)
            reason = DisconnectReason.SLOW if verdict is Verdict.DISCONNECT else None
            if reason is not None:
                self._terms.observer.slow(self.session.told, lag)
        if reason is not None:
            self._end(reason, cut=sock)

    def _begin(self) -> threading.Event:
        self._wake = wake = threading.Event()
        wake.set()
        self._stays = self._delivery.acquire(self, self._slots.stays)
        if self._terms.journal.concerns(self.session):
            self._disconnected = DisconnectReason.DISCONNECTED
        now = self._clock()
        if not self._stays:
            self._visits = self._terms.limits.acquire_visit(self._slots.visits)
            self._expires_at = now + min(_VISIT, self.session.seconds) if self._visits else now
            if self.socket is not None:
                sockets.make_room(self.socket)
            self._backlog.hold(self.session, wake)
            return wake
        if self.session.expiry is not None:
            self._expires_at = now + self.session.seconds
        if self.reader.level:
            self._attach(wake)
        self._backlog.hold(self.session, wake)
        return wake

    def _end(self, reason: DisconnectReason, cut: socket | None = None) -> None:
        with self._lock:
            if self._over:
                return
            self._over = True
            if cut is not None:  # upon which the server's thread ends it, too, and knows no reason
                sockets.cut(cut)
        if self._wake is not None:  # else the reader may be another delivery's by now
            self.reader.detach()
            self._delivery.release(self, reason, stayed=self._stays, visited=self._visits)
            if self.socket is not None:
                sockets.stop_reading(self.socket)

    def _given(self, data: bytes, events: int) -> bytes:
        """What is handed to the server now."""
        due = due_after_write(self.session.keep_alive)
        self._gave_at = self._clock()
        self._keep_alive_at = None if due is None else self._gave_at + due
        self._terms.observer.delivered(self._delivery.name, self.session.streams, 1, len(data), events)
        if events:
            hand_over(self.reader.handovers)
        self._start_sending()
        return data

    def _start_sending(self) -> None:
        if self.socket is not None:
            self._took_at = self._clock()
            self._sending = True

    def _is_taken_at_once(self, data: bytes) -> bool:
        """Whether the client may be given this: one that may not stay, only what the kernel takes at once.

        Something it is always given, or it would never get on.
        """
        if self._stays or self.socket is None or self._gave_at is math.inf:
            return True
        room = sockets.room(self.socket)
        return room is None or len(data) <= room

    def _leave(self, reason: DisconnectReason) -> None:
        """This is why it ends, unless there is a reason already."""
        if self._disconnected is None:
            self._disconnected = reason

    def _reason_of_expiry(self) -> DisconnectReason:
        expiry = self.session.expiry if self._stays else None
        return DisconnectReason.BUSY if expiry is None else expiry.reason

    def _may_be_slow(self) -> bool:
        stays = self._stays and self._disconnected is None and not self.reader.hub.closed
        return stays and self._clock() - self._gave_at >= _SLOW

    def _ask_policy(self) -> None:
        """The last piece took its time: see what is to be done if the client is behind."""
        if self._backlog.awaited:
            return
        lag = Lag(self.reader.entries_behind(), bytes=0, stalled=0.0)
        if lag.entries == 0:
            return
        verdict = verdict_on(lag, self._terms.settings.slow_client_policy)
        if verdict is Verdict.WAIT:
            return
        self._terms.observer.slow(self.session.told, lag)
        self._skips = verdict is Verdict.SKIP
        if not self._skips:
            self._disconnected = self._disconnected or DisconnectReason.SLOW

    def _look(self, wake: threading.Event) -> bytes:
        """What is due now, from the windows, or else from the log."""
        reader, backlog = self.reader, self._backlog
        if backlog.being_read:
            return b""
        held = backlog.held  # before what is lost is looked at, which is told first
        if not backlog.goes_on():
            self._leave(DisconnectReason.REVOKED)
            return b""
        if held:
            return reader.take_opening()
        if data := backlog.take():
            return data
        if not self._skips and (data := reader.take()):
            return data
        if reader.lost:
            return b""
        if self._stays and not reader.attached and (reader.level or not reader.lagging):
            self._attach(wake)
            return b""
        if not (self._skips or reader.lagging) if self._stays else backlog.caught_up:
            return b""
        if reader.hub.closed:
            self._disconnected = DisconnectReason.SHUTDOWN  # the log has the rest, when it comes back
            return b""
        self._replay(wake)
        return b""

    def _attach(self, wake: threading.Event) -> None:
        try:
            self.reader.attach(wake.set)
            wake.set()  # something may have come before the hub knew of it
        except Closed:
            self._disconnected = DisconnectReason.SHUTDOWN

    def _replay(self, wake: threading.Event) -> None:
        """Have the replayer read the log: a backend may be silent, and this thread is wanted elsewhere."""
        reader, replayer = self.reader, self._terms.replayer
        if replayer.slow and not self._stays:
            self._disconnected = DisconnectReason.BUSY
            return
        action = reader.catch_up if self._stays else reader.catch_up_with_all
        if self._skips:
            action = reader.skip_to_newest
        self._skips = False
        self._backlog.read(action, wake, lambda: not self._over, self.session.key)

    def _due_at(self) -> float | None:
        """When something is due even if nobody wakes it."""
        return min((at for at in (self._keep_alive_at, self._expires_at) if at is not None), default=None)

    def _keep_alive_is_due(self) -> bool:
        return self._keep_alive_at is not None and self._keep_alive_at <= self._clock()
