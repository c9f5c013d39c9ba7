"""Delivery by a WSGI iterable: one thread or greenlet per client, on any server."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar, Final

from ..engine.byte_reader import ByteReader
from ..errors import BrokerUnavailable, Closed
from ..observers import DisconnectReason
from ..strategies.keepalive import due_after_write
from ..strategies.slow_clients import Lag, Verdict, verdict_on
from ..strategies.trying import Attempts
from ..wire import KEEP_ALIVE
from .delivery import Chosen, Exchange, Terms
from .limits import UNLIMITED
from .session import Session

_SHORT_SERVICE: Final = 5.0
_SLOW: Final = 1.0
"""Seconds for the server to be rid of what it was given: so long, and the client may be slow."""


class WsgiDelivery:
    """A `Delivery`. Any thread."""

    name: ClassVar[str] = "wsgi"

    def __init__(self, terms: Terms, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.terms = terms
        self.clock = clock
        self._lock = threading.Lock()
        self._bodies: set[WsgiBody] = set()

    def serve(self, session: Session, reader: ByteReader, exchange: Exchange) -> Iterable[bytes]:
        """See `Delivery`."""
        return self.body(session, reader, exchange.server.capacity(exchange.environ))

    def body(self, session: Session, reader: ByteReader, capacity: int | None) -> WsgiBody:
        """The body for a client. It takes up nothing before it is read.

        capacity: how many requests the server serves at once; half of them are left free of streams.
        """
        slots = self.terms.settings.wsgi_slots
        if slots is None:
            slots = UNLIMITED if capacity is None else capacity // 2
        return WsgiBody(session, reader, self, slots)

    def acquire(self, body: WsgiBody, slots: int) -> bool:
        """Whether a body may stay and hold its thread. If not, it gives what was missed, and no more."""
        counted = self.terms.limits.acquire(body.session.key)
        with self._lock:
            stays = counted and len(self._bodies) < slots
            if stays:
                self._bodies.add(body)
        if stays:
            self.terms.observer.connected(body.session, self.name)
            return True
        if counted:
            self.terms.limits.release(body.session.key)
        self.terms.observer.disconnected(body.session, self.name, DisconnectReason.BUSY)
        return False

    def release(self, body: WsgiBody, reason: DisconnectReason) -> None:
        """A body that had a slot is through."""
        with self._lock:
            self._bodies.discard(body)
        self.terms.limits.release(body.session.key)
        self.terms.observer.disconnected(body.session, self.name, reason)

    def disconnect(self, chosen: Chosen, reason: DisconnectReason) -> None:
        """See `Delivery`."""
        with self._lock:
            bodies = [body for body in self._bodies if chosen(body.session)]
        for body in bodies:
            body.disconnect(reason)

    def shutdown(self, timeout: float) -> None:
        """See `Delivery`. Nobody is waited for: a thread may be in the middle of the server's own `send`."""
        self.disconnect(lambda _: True, DisconnectReason.SHUTDOWN)


class WsgiBody(Iterator[bytes]):
    """The body of one response. Takes a slot at its first `next`, so that one never read leaks nothing.

    An object and not a generator: `close` works before the first `next`, too, and ends one that is
    under way in another thread. One thread at a time calls `next`.
    """

    def __init__(self, session: Session, reader: ByteReader, delivery: WsgiDelivery, slots: int) -> None:
        terms = delivery.terms
        self.session = session
        self.reader = reader
        self._delivery = delivery
        self._terms = terms
        self._slots = slots
        self._clock = delivery.clock
        self._attempts = Attempts(terms.settings.retry, endless=True)
        self._wake: threading.Event | None = None
        self._stays = False
        self._over = False
        self._disconnected: DisconnectReason | None = None
        self._expires_at: float | None = None
        self._keep_alive_at: float | None = None
        self._retry_at: float | None = None
        self._busy_until = 0.0
        self._gave_at = math.inf
        self._skips = False

    def __next__(self) -> bytes:
        if self._over:
            raise StopIteration
        wake = self._wake or self._begin()
        if self._may_be_slow():
            self._ask_policy()
        while self._disconnected is None:
            if self._over:
                raise StopIteration
            if (reason := self._reason_to_go()) is not None:
                self._disconnected = reason
            elif wake.is_set():
                # Cleared before looking: what comes in between sets it once more.
                wake.clear()
                if data := self._look(wake):
                    wake.set()
                    return self._given(data)
                if self.reader.finished:
                    self._end(DisconnectReason.ENDED)
                    raise StopIteration
            elif not self._stays:
                self._disconnected = DisconnectReason.BUSY
            elif self.reader.hub.closed:
                self._disconnected = DisconnectReason.SHUTDOWN
            elif not wake.wait(self._timeout()) and self._keep_alive_is_due(wake):
                return self._given(KEEP_ALIVE)
        self._end(self._disconnected)
        return self._terms.last_bytes()

    def disconnect(self, reason: DisconnectReason) -> None:
        """Tell the client to come back, and end. Any thread."""
        self._disconnected = reason
        if self._wake is not None:
            self._wake.set()

    def close(self) -> None:
        """Free the slot. Closing twice does nothing."""
        self._end(DisconnectReason.GONE)
        if self._wake is not None:
            self._wake.set()

    def _begin(self) -> threading.Event:
        self._wake = wake = threading.Event()
        wake.set()
        self._stays = self._delivery.acquire(self, self._slots)
        self._busy_until = self._clock() + _SHORT_SERVICE
        if self._stays and self.session.expiry is not None:
            self._expires_at = self._clock() + self.session.expiry.seconds
        if self._stays and self.reader.level:
            self._attach(wake)
        return wake

    def _end(self, reason: DisconnectReason) -> None:
        self._over = True
        if self._wake is not None:  # else the reader may be another delivery's by now
            self.reader.detach()
        if self._stays:
            self._stays = False
            self._delivery.release(self, reason)

    def _given(self, data: bytes) -> bytes:
        """What is handed to the server now."""
        due = due_after_write(self.session.keep_alive)
        self._gave_at = self._clock()
        self._keep_alive_at = None if due is None else self._gave_at + due
        self._terms.observer.delivered(self._delivery.name, self.session.streams, 1, len(data))
        return data

    def _reason_to_go(self) -> DisconnectReason | None:
        """Why the client may not stay, however much there is for it yet."""
        now = self._clock()
        if not self._stays and now >= self._busy_until:
            return DisconnectReason.BUSY
        expiry = self.session.expiry
        if self._expires_at is not None and self._expires_at <= now and expiry is not None:
            return expiry.reason
        return None

    def _may_be_slow(self) -> bool:
        stays = self._stays and self._disconnected is None and not self.reader.hub.closed
        return stays and self._clock() - self._gave_at >= _SLOW

    def _ask_policy(self) -> None:
        """The last piece took its time: see what is to be done if the client is behind."""
        lag = Lag(self.reader.entries_behind(), bytes=0, stalled=0.0)
        if lag.entries == 0:
            return
        verdict = verdict_on(lag, self._terms.settings.slow_client_policy)
        if verdict is Verdict.WAIT:
            return
        self._terms.observer.slow(self.session, lag)
        self._skips = verdict is Verdict.SKIP
        if not self._skips:
            self._disconnected = self._disconnected or DisconnectReason.SLOW

    def _look(self, wake: threading.Event) -> bytes:
        """What is due now, from the windows, or else from the log."""
        reader = self.reader
        if not self._skips and (data := reader.take()):
            return data
        if self._stays and not reader.attached and (reader.level or not reader.lagging):
            self._attach(wake)
            return b""
        if not self._stays:
            # It is about to go: the log itself has to say that nothing is left.
            reader.lagging = list(reader.reading)
        if not (self._skips or reader.lagging):
            return b""
        if reader.hub.closed:
            self._disconnected = DisconnectReason.SHUTDOWN  # the log has the rest, when it comes back
            return b""
        return self._read(reader.skip_to_newest if self._skips else reader.catch_up, wake)

    def _attach(self, wake: threading.Event) -> None:
        try:
            self.reader.attach(wake.set)
            wake.set()  # something may have come before the hub knew of it
        except Closed:
            self._disconnected = DisconnectReason.SHUTDOWN

    def _read(self, action: Callable[[], bytes], wake: threading.Event) -> bytes:
        try:
            data = action()
        except BrokerUnavailable as error:
            delay = self._attempts.after_failure() or 0.0
            self._retry_at = self._clock() + delay
            self.reader.hub.log.failed(error, delay)
            return b""
        except Closed:
            self._disconnected = DisconnectReason.SHUTDOWN
            return b""
        self._attempts.after_success()
        self._retry_at, self._skips = None, False
        if self._stays and not (data or self.reader.attached):
            wake.set()  # level by now
        return data

    def _timeout(self) -> float | None:
        """Seconds until something is due even if nobody wakes it."""
        times = (self._keep_alive_at, self._retry_at, self._expires_at)
        due = [at for at in times if at is not None]
        return max(0.0, min(due) - self._clock()) if due else None

    def _keep_alive_is_due(self, wake: threading.Event) -> bool:
        """Whether it is a keep-alive that is due; what else is due is seen to."""
        now = self._clock()
        if self._retry_at is not None and self._retry_at <= now:
            self._retry_at = None
            wake.set()
        return self._keep_alive_at is not None and self._keep_alive_at <= now
