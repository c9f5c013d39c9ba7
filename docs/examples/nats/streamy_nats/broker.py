"""The broker: what any thread of any process may call."""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from streamy_core import Closed, Event
from streamy_core.broker import Broker, Page, StreamInfo, Watch

from .line import Line
from .log import Log
from .options import Options
from .watch import NatsWatch

T = TypeVar("T")


class NatsBroker(Broker):
    """See the package. Any thread; a forked process gets a connection of its own.

    Connects to nothing before it is used.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._lines: list[Line] = []  # the parents', too: to collect one would disturb theirs
        self._closed = False

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        key = secrets.token_hex(16) if idempotency_key is None else idempotency_key
        return self._ask(lambda log: log.append(stream_id, events, key)) if events else []

    def read(self, cursors: Mapping[str, str], limit: int) -> Mapping[str, Page]:
        async def pages(log: Log) -> list[Page]:
            return await asyncio.gather(*[log.page(name, cursor, limit) for name, cursor in cursors.items()])

        return dict(zip(cursors, self._ask(pages), strict=True))

    def tail(self, stream_id: str) -> str:
        return self._ask(lambda log: log.tail(stream_id))

    def end(self, stream_id: str) -> None:
        self._ask(lambda log: log.end(stream_id, secrets.token_hex(4)))

    def watch(self) -> Watch:
        line = self._line()

        async def watch(log: Log) -> NatsWatch:
            return NatsWatch(line, log)

        return line.ask(watch)

    def streams(self) -> Iterable[StreamInfo]:
        return self._ask(lambda log: log.streams())

    def close(self) -> None:
        with self._lock:
            self._closed = True
        for line in self._lines:
            if line.pid == os.getpid():
                line.close()

    def _ask(self, call: Callable[[Log], Awaitable[T]]) -> T:
        return self._line().ask(call)

    def _line(self) -> Line:
        if not self._is_open():
            with self._lock:
                if self._closed:
                    raise Closed("this NATS broker has been closed")
                if not self._is_open():
                    self._lines.append(Line(self._options))
        return self._lines[-1]

    def _is_open(self) -> bool:
        return bool(self._lines) and self._lines[-1].pid == os.getpid()
