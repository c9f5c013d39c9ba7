"""Delivery by a WSGI iterable: one thread or greenlet per client, on any server."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from ..errors import BrokerUnavailable, Closed
from ..keepalive import KeepAliveScheduler
from ..retry import RetryPolicy
from ..wire import KEEP_ALIVE
from .connection import Connection

_PAUSE_AFTER_GIVING_UP: Final = 1.0

logger = logging.getLogger("streamy")


class EventStreamBody(Iterator[bytes]):
    """The body of one response. Attaches at its first `next`, so that one never read leaks nothing.

    An object and not a generator: `close` works before the first `next`, too. The server's thread
    calls both.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        keep_alive: KeepAliveScheduler,
        retry: RetryPolicy,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._keep_alive = keep_alive
        self._retry = retry
        self._clock = clock
        self._bell: threading.Event | None = None
        self._keep_alive_at: float | None = None
        self._look_again_at: float | None = None
        self._failures = 0
        self._closed = False

    def __next__(self) -> bytes:
        bell = self._bell or self._attach()
        while not (self._closed or self._connection.hub.closed):
            if bell.is_set():
                # Cleared before looking: what comes in between rings once more.
                bell.clear()
                if data := self._look():
                    bell.set()
                    self._set_keep_alive()
                    return data
                if self._connection.finished:
                    break
            elif not bell.wait(self._timeout()) and self._keep_alive_is_due(bell):
                self._set_keep_alive()
                return KEEP_ALIVE
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Leave the hub. Closing twice does nothing."""
        self._closed = True
        self._connection.detach()

    def _attach(self) -> threading.Event:
        self._bell = bell = threading.Event()
        bell.set()
        if not self._closed:
            try:
                self._connection.attach(bell.set)
            except Closed:
                self._closed = True
        return bell

    def _look(self) -> bytes:
        data = self._connection.take()
        if data or not self._connection.lagging:
            return data
        try:
            data = self._connection.catch_up()
        except BrokerUnavailable as error:
            self._failures += 1
            pause = self._retry.delay(self._failures)
            if pause is None:
                self._failures, pause = 0, _PAUSE_AFTER_GIVING_UP
            self._look_again_at = self._clock() + pause
            logger.warning("catching up failed, again in %.2f s: %s", pause, error)
            return b""
        self._failures, self._look_again_at = 0, None
        return data

    def _timeout(self) -> float | None:
        """Seconds until something is due even if no bell rings."""
        due = [at for at in (self._keep_alive_at, self._look_again_at) if at is not None]
        return max(0.0, min(due) - self._clock()) if due else None

    def _keep_alive_is_due(self, bell: threading.Event) -> bool:
        now = self._clock()
        if self._look_again_at is not None and self._look_again_at <= now:
            self._look_again_at = None
            bell.set()
        return self._keep_alive_at is not None and self._keep_alive_at <= now

    def _set_keep_alive(self) -> None:
        due = self._keep_alive.due_in(0.0)
        self._keep_alive_at = None if due is None else self._clock() + due
