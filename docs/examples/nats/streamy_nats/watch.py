"""The doorbells: a subscription for each watched stream, to what the server says once it has stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from streamy_core.broker import BaseWatch, Closed

from .connection import PASSING, Connection, unavailable
from .log import Log


class NatsWatch(BaseWatch):
    """The watch of one connection: when that is lost, `wait` raises BrokerUnavailable."""

    def __init__(self, connection: Connection, log: Log) -> None:
        super().__init__()
        self._connection = connection
        self._log = log
        self._subscriptions: dict[str, Subscription] = {}  # the loop's own
        self._subscribing = False
        connection.watches.add(self)
        if not log.client.is_connected:
            self.fail(unavailable(ConnectionError("the connection was lost")))

    def add(self, stream_id: str) -> None:
        with self._lock:
            super().add(stream_id)
            self._subscribe()

    def discard(self, stream_id: str) -> None:
        with self._lock:
            super().discard(stream_id)
            self._subscribe()

    def _free(self) -> None:
        with self._lock:
            self._connection.watches.discard(self)
            self._names.clear()
            self._subscribe()

    def _subscribe(self) -> None:
        """Have the subscriptions brought up to the names. Called with the lock held."""
        if not self._subscribing:
            with suppress(Closed):
                self._connection.start(self._bring_up())
                self._subscribing = True

    async def _bring_up(self) -> None:
        try:
            while True:
                with self._lock:
                    new = self._names - self._subscriptions.keys()
                    old = self._subscriptions.keys() - self._names
                    if not new and not old:
                        self._subscribing = False
                        return
                for name in old:
                    await self._subscriptions.pop(name).unsubscribe()
                for name in new:
                    subject = self._log.bell(name)
                    self._subscriptions[name] = await self._log.client.subscribe(
                        subject, cb=self._ringing(name)
                    )
                if new:
                    # What was appended before the server knew of a subscription rang for nobody; from
                    # its answer on every bell is heard, and here is the one for what was before.
                    await self._log.look_up()
                    self.ring(new)
        except PASSING as error:
            self.fail(unavailable(error))

    def _ringing(self, name: str) -> Callable[[Msg], Awaitable[None]]:
        async def ring(msg: Msg) -> None:
            self.ring((name,))

        return ring
