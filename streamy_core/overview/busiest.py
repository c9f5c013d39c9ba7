"""Which streams and groups have clients in this process, and to which streams much is published by it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from heapq import nsmallest
from typing import Final

from ..broker import ForkGuard
from ..errors import StreamyError
from ..events import SUMMARIES, is_internal
from ..observers import ClientInfo, DisconnectReason, Observer, PublishOutcome
from .summary import MOST_STREAMS, StreamSummary

_MOST_COUNTED: Final = 10_000
"""Streams to which something was published, from one summary to the next; those beyond aren't counted."""

_MANY: Final = 1_000
"""A broadcast to more streams than this makes none of them busier than another."""

_STORED: Final = PublishOutcome.STORED


class Busiest(Observer):
    """See the module. Any thread. A forked process begins anew.

    A stream that a re-check takes from a client counts it until it leaves.

    group_of: which group a stream belongs to.
    """

    _lock: threading.Lock
    _clients: Counter[str]
    _groups: Counter[str]
    _published: dict[str, int]
    _since: float

    def __init__(self, group_of: Callable[[str], str]) -> None:
        self._group_of = group_of
        self.on_viewer: Callable[[], object] | None = None
        self._guard = ForkGuard(self._start)

    def connected(self, client: ClientInfo, delivery: str) -> None:
        self._count(client.streams, 1)
        if SUMMARIES in client.streams and self.on_viewer is not None:
            self.on_viewer()

    def disconnected(self, client: ClientInfo, delivery: str, reason: DisconnectReason) -> None:
        if reason is not DisconnectReason.BUSY:  # such a one was never connected
            self._count(client.streams, -1)

    def published(
        self, stream_id: str, outcome: PublishOutcome, count: int, seconds: float, error: StreamyError | None
    ) -> None:
        if outcome is _STORED:
            self._guard.check()
            with self._lock:
                if stream_id in self._published or len(self._published) < _MOST_COUNTED:
                    self._published[stream_id] = self._published.get(stream_id, 0) + count

    def published_to_many(
        self,
        stream_ids: Collection[str],
        outcome: PublishOutcome,
        seconds: float,
        error: StreamyError | None,
    ) -> None:
        if len(stream_ids) <= _MANY:
            for stream_id in stream_ids:
                self.published(stream_id, outcome, 1, seconds, error)

    @property
    def viewers(self) -> int:
        """How many clients look at the summaries."""
        self._guard.check()
        return self._clients.get(SUMMARIES, 0)

    def groups(self) -> dict[str, int]:
        """How many clients each group has."""
        self._guard.check()
        with self._lock:
            return dict(self._groups)

    def take(self) -> tuple[StreamSummary, ...]:
        """The streams with most clients, and those to which most was published since this was last called."""
        self._guard.check()
        now = time.monotonic()
        with self._lock:
            published, self._published = self._published, {}
            seconds, self._since = max(0.001, now - self._since), now
            clients = list(self._clients.items())
        published = {name: count for name, count in published.items() if not is_internal(name)}
        seen = [pair for pair in clients if not is_internal(pair[0])]
        half = MOST_STREAMS // 2
        chosen = dict.fromkeys([*_most(half, seen), *_most(half, published.items())])
        return tuple(
            StreamSummary(name, self._clients.get(name, 0), round(published.get(name, 0) / seconds, 3))
            for name in chosen
        )

    def _count(self, streams: Collection[str], more: int) -> None:
        self._guard.check()
        groups = {self._group_of(name) for name in streams if not is_internal(name)}
        with self._lock:
            for counts, names in ((self._clients, streams), (self._groups, groups)):
                for name in names:
                    counts[name] += more
                    if counts[name] <= 0:
                        del counts[name]

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._clients = Counter()
        self._groups = Counter()
        self._published = {}
        self._since = time.monotonic()


def _most(count: int, counted: Iterable[tuple[str, int]]) -> list[str]:
    """The names with the largest numbers; of equal ones the first, so that all processes tell of the same."""
    return [name for name, _ in nsmallest(count, counted, key=lambda pair: (-pair[1], pair[0]))]
