"""The doorbells: a subscription for each watched stream, to what the server says once it has stored."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from streamy_core import BrokerUnavailable, Closed
from streamy_core.broker import Watch

from .line import PASSING, Line
from .log import Log


class NatsWatch(Watch):
    """The watch of one connection: when that is lost, `wait` raises BrokerUnavailable."""

    def __init__(self, line: Line, log: Log) -> None:
        self._line = line
        self._log = log
        self._bell = threading.Condition()
        self._names: set[str] = set()
        self._rung: set[str] = set()
        self._subscriptions: dict[str, Subscription] = {}  # the loop's own
        self._following = False
        self._interrupted = False
        self._fault: Exception | None = None
        self._closed = False
        line.watches.add(self)
        if not log.client.is_connected:
            self.fail(ConnectionError("the connection was lost"))

    def add(self, stream_id: str) -> None:
        with self._bell:
            if not self._closed and stream_id not in self._names:
                self._names.add(stream_id)
                self._follow()

    def discard(self, stream_id: str) -> None:
        with self._bell:
            self._rung.discard(stream_id)
            if stream_id in self._names:
                self._names.remove(stream_id)
                self._follow()

    def wait(self, timeout: float | None) -> Collection[str]:
        with self._bell:
            if self._closed:
                raise Closed("this watch has been closed")
            self._bell.wait_for(
                lambda: self._rung or self._interrupted or self._fault or self._closed, timeout
            )
            self._interrupted = False
            if self._fault and not self._closed:
                raise BrokerUnavailable(f"NATS: {self._fault}") from self._fault
            rung, self._rung = self._rung, set()
            return rung

    def interrupt(self) -> None:
        with self._bell:
            self._interrupted = True
            self._bell.notify()

    def close(self) -> None:
        with self._bell:
            if self._closed:
                return
            self._closed = True
            self._bell.notify()
            self._line.watches.discard(self)
            self._names.clear()
            self._follow()

    def fail(self, error: Exception) -> None:
        """Tell whoever waits that bells may have been lost. Any thread."""
        with self._bell:
            self._fault = error
            self._bell.notify()

    def _follow(self) -> None:
        """Have the subscriptions brought up to the names. Called with the bell held."""
        if not self._following:
            with suppress(Closed):
                self._line.start(self._bring_up())
                self._following = True

    async def _bring_up(self) -> None:
        try:
            while True:
                with self._bell:
                    come = self._names - self._subscriptions.keys()
                    gone = self._subscriptions.keys() - self._names
                    if not come and not gone:
                        self._following = False
                        return
                for name in gone:
                    await self._subscriptions.pop(name).unsubscribe()
                for name in come:
                    subject = self._log.bell(name)
                    self._subscriptions[name] = await self._log.client.subscribe(subject, cb=self._ring(name))
                if come:
                    # What was appended before the server knew of a subscription rang for nobody; from
                    # its answer on every bell is heard, and here is the one for what was before.
                    await self._log.look_up()
                    self._rang(come)
        except PASSING as error:
            self.fail(error)

    def _ring(self, name: str) -> Callable[[Msg], Awaitable[None]]:
        async def ring(msg: Msg) -> None:
            self._rang({name})

        return ring

    def _rang(self, names: Collection[str]) -> None:
        with self._bell:
            self._rung.update(self._names.intersection(names))
            self._bell.notify()
