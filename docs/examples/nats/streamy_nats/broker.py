"""The broker: what any thread of any process may call."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from streamy_core.broker import Broker, Closed, Event, ForkGuard, Page, StreamInfo, Watch

from .connection import Connection
from .log import Log
from .options import Options
from .watch import NatsWatch

T = TypeVar("T")


class NatsBroker(Broker):
    """See the package. Any thread; a forked process gets a connection of its own.

    Connects to nothing before it is used.
    """

    def __init__(self, server: str, options: Options) -> None:
        self._server = server
        self._options = options
        self._connections: list[Connection] = []  # the parents', too: to collect one would disturb theirs
        self._closed = False
        self._guard = ForkGuard(self._start)

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        key = secrets.token_hex(16) if idempotency_key is None else idempotency_key
        return self._ask(lambda log: log.append(stream_id, events, key)) if events else []

    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        share = None if max_bytes is None or not cursors else max_bytes // len(cursors)
        return self._ask_of_each(cursors, lambda log, name: log.page(name, cursors[name], limit, share))

    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        return self._ask_of_each(stream_ids, lambda log, name: log.tail(name))

    def end(self, stream_id: str) -> None:
        self._ask(lambda log: log.end(stream_id, secrets.token_hex(4)))

    def watch(self) -> Watch:
        connection = self._connection()

        async def watch(log: Log) -> NatsWatch:
            return NatsWatch(connection, log)

        return connection.ask(watch)

    def streams(self) -> Iterable[StreamInfo]:
        return self._ask(lambda log: log.streams())

    def close(self) -> None:
        self._closed = True
        if not self._guard.inherited:
            self._connections[-1].close()

    def _start(self) -> None:
        self._connections.append(Connection(self._server, self._options))

    def _connection(self) -> Connection:
        self._guard.check()
        if self._closed:
            raise Closed("this NATS broker has been closed")
        return self._connections[-1]

    def _ask(self, call: Callable[[Log], Awaitable[T]]) -> T:
        return self._connection().ask(call)

    def _ask_of_each(
        self, stream_ids: Collection[str], call: Callable[[Log, str], Awaitable[T]]
    ) -> Mapping[str, T]:
        async def answers(log: Log) -> list[T]:
            return await asyncio.gather(*[call(log, name) for name in stream_ids])

        return dict(zip(stream_ids, self._ask(answers), strict=True))
