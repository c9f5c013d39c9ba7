"""Delivery by a WSGI iterable: one thread or greenlet per client, on any server."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from ..errors import BrokerUnavailable, Closed
from ..strategies.keepalive import KeepAliveScheduler, due_after_write
from ..strategies.retry import RetryPolicy, delay_after
from ..strategies.slow_clients import Lag, SlowClientPolicy, Verdict, verdict_on
from ..wire import KEEP_ALIVE
from .connection import Connection

_PAUSE_AFTER_GIVING_UP: Final = 1.0
_SHORT_SERVICE: Final = 5.0
_SLOW: Final = 1.0
"""Seconds for the server to be rid of what it was given: so long, and the client may be slow."""

logger = logging.getLogger("streamy")


class Host(Protocol):
    """Whom a body tells that it comes and goes."""

    def seat(self, body: EventStreamBody) -> bool:
        """Whether it may stay. If not, it is to give what the client missed, and no more."""

    def unseat(self, body: EventStreamBody, reason: str) -> None:
        """It has gone. Only called if it was seated."""

    def slow(self, body: EventStreamBody, lag: Lag) -> None:
        """The policy has decided against it."""

    def farewell(self) -> bytes:
        """The last bytes for a client that is to come back."""


class EventStreamBody(Iterator[bytes]):
    """The body of one response. Attaches at its first `next`, so that one never read leaks nothing.

    An object and not a generator: `close` works before the first `next`, too, and ends one that is
    under way in another thread. One thread at a time calls `next`.

    slow_clients: the policy for a client that is behind, where the server took its time over a piece.
    threads: how many requests the server can serve at once; None: any number.
    key: whom the client belongs to, or None.
    age: seconds after which it is told to come back, or None.
    """

    def __init__(
        self,
        connection: Connection,
        host: Host,
        *,
        slow_clients: SlowClientPolicy,
        threads: int | None = None,
        keep_alive: KeepAliveScheduler,
        retry: RetryPolicy,
        key: str | None = None,
        age: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connection = connection
        self.streams = tuple(connection.places)
        self.threads = threads
        self.keep_alive = keep_alive
        self.key = key
        self.age = age
        self._host = host
        self._slow_clients = slow_clients
        self._retry = retry
        self._clock = clock
        self._bell: threading.Event | None = None
        self._seated = False
        self._over = False
        self._reason = "gone"
        self._sent_away: str | None = None
        self._leaves_at: float | None = None
        self._keep_alive_at: float | None = None
        self._look_again_at: float | None = None
        self._busy_until = 0.0
        self._gave_at = math.inf
        self._skips = False
        self._failures = 0

    def __next__(self) -> bytes:
        if self._over:
            raise StopIteration
        bell = self._bell or self._enter()
        if self._may_be_slow():
            self._ask_policy()
        while self._sent_away is None:
            if self._over:
                raise StopIteration
            if not self._seated and self._clock() >= self._busy_until:
                self._sent_away = "busy"
            elif bell.is_set():
                # Cleared before looking: what comes in between rings once more.
                bell.clear()
                if data := self._look():
                    bell.set()
                    self._set_keep_alive()
                    self._gave_at = self._clock()
                    return data
                if self.connection.finished:
                    self._leave("ended")
                    raise StopIteration
            elif not self._seated:
                self._sent_away = "busy"
            elif self.connection.hub.closed:
                self._sent_away = "leaving"
            elif not bell.wait(self._timeout()) and self._something_due(bell):
                self._set_keep_alive()
                self._gave_at = self._clock()
                return KEEP_ALIVE
        self._leave(self._sent_away)
        return self._host.farewell()

    def send_away(self, reason: str) -> None:
        """Tell the client to come back, and end. Any thread."""
        self._sent_away = reason
        if self._bell is not None:
            self._bell.set()

    def close(self) -> None:
        """Leave the hub. Closing twice does nothing."""
        self._leave(self._reason)
        if self._bell is not None:
            self._bell.set()

    def _enter(self) -> threading.Event:
        self._bell = bell = threading.Event()
        bell.set()
        self._seated = self._host.seat(self)
        self._busy_until = self._clock() + _SHORT_SERVICE
        if self._seated:
            if self.age is not None:
                self._leaves_at = self._clock() + self.age
            try:
                self.connection.attach(bell.set)
            except Closed:
                self._sent_away = "leaving"
        return bell

    def _leave(self, reason: str) -> None:
        self._over = True
        if self._bell is not None:
            # Unless it was never read: then the connection may have been taken over by the loop.
            self.connection.detach()
        if self._seated:
            self._seated = False
            self._host.unseat(self, reason)

    def _may_be_slow(self) -> bool:
        stays = self._seated and self._sent_away is None and not self.connection.hub.closed
        return stays and self._clock() - self._gave_at >= _SLOW

    def _ask_policy(self) -> None:
        """The last piece took its time: see what is to be done if the client is behind."""
        lag = Lag(self.connection.entries_behind(), bytes=0, stalled=0.0)
        if lag.entries == 0 or (verdict := verdict_on(lag, self._slow_clients)) is Verdict.WAIT:
            return
        self._host.slow(self, lag)
        self._skips = verdict is Verdict.SKIP
        if not self._skips:
            self._sent_away = self._sent_away or "slow"

    def _look(self) -> bytes:
        if not self._skips and (data := self.connection.take()):
            return data
        if not self._seated:
            # It is about to go: the log itself has to say that nothing is left.
            self.connection.lagging = list(self.connection.reading)
        if not (self._skips or self.connection.lagging):
            return b""
        try:
            data = self.connection.fast_forward() if self._skips else self.connection.catch_up()
        except BrokerUnavailable as error:
            self._failures += 1
            pause = delay_after(self._retry, self._failures)
            if pause is None:
                self._failures, pause = 0, _PAUSE_AFTER_GIVING_UP
            self._look_again_at = self._clock() + pause
            logger.warning("catching up failed, again in %.2f s: %s", pause, error)
            return b""
        except Closed:
            self._sent_away = "leaving"
            return b""
        self._failures, self._look_again_at, self._skips = 0, None, False
        return data

    def _timeout(self) -> float | None:
        """Seconds until something is due even if no bell rings."""
        times = (self._keep_alive_at, self._look_again_at, self._leaves_at)
        due = [at for at in times if at is not None]
        return max(0.0, min(due) - self._clock()) if due else None

    def _something_due(self, bell: threading.Event) -> bool:
        """Whether it is a keep-alive that is due; what else is due is seen to."""
        now = self._clock()
        if self._leaves_at is not None and self._leaves_at <= now:
            self._sent_away = "aged"
            return False
        if self._look_again_at is not None and self._look_again_at <= now:
            self._look_again_at = None
            bell.set()
        return self._keep_alive_at is not None and self._keep_alive_at <= now

    def _set_keep_alive(self) -> None:
        due = due_after_write(self.keep_alive)
        self._keep_alive_at = None if due is None else self._clock() + due
