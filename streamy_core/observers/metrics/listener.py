"""Translates what happens in one manager into metrics."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Final

from ...errors import BrokerUnavailable, StreamyError
from ...events import INTERNAL
from ...strategies.slow_clients import Lag
from ..base import ClientInfo, Observer
from ..words import DisconnectReason, DropReason, GapCause, PublishOutcome, TurnAwayCause
from . import catalogue as of
from .catalogue import Metric
from .groups import GroupOf, Groups
from .instruments import Add, Instruments, Number

Numbers = Callable[[], Collection[tuple[Metric, tuple[str, ...], float]]]
"""Gives what can be read of a manager: metrics, their labels but for `manager`, and their values."""


_STORED: Final = PublishOutcome.STORED
"""To look it up in its enum takes as long as all the rest of counting an event."""


class _Delivered:
    """What one delivery has handed over. Told for each chunk: so only added up here, and read later."""

    __slots__ = ("bytes", "events", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.events = 0
        self.bytes = 0


class _Published:
    """What was published to a group, with one outcome: likewise."""

    __slots__ = ("events", "lock", "took")

    def __init__(self, took: Add) -> None:
        self.lock = threading.Lock()
        self.events = 0
        self.took = took


class Metrics(Observer):
    """See the module. Any thread.

    manager:  its name.
    group_of: which group a stream belongs to; what stands before the first ":" unless given.

    Its attribute `groups` tells which.
    """

    def __init__(self, instruments: Instruments, manager: str, group_of: GroupOf | None = None) -> None:
        self._instruments = instruments
        self._manager = manager
        self.groups: Groups = Groups(group_of)
        self._adds: dict[tuple[Metric, tuple[str, ...]], Add] = {}
        self._delivered: dict[str, _Delivered] = {}
        self._stored: dict[str, _Published] = {}  # by group
        self._others: dict[PublishOutcome, dict[str, _Published]] = {}
        self._bell_heard_at: float | None = None
        self._numbers: Numbers = tuple
        self._unwatch = instruments.watch(self._read)

    def watch(self, numbers: Numbers) -> None:
        """Read these, too, whenever somebody asks."""
        self._numbers = numbers

    def close(self) -> None:
        """Be read no more. Closing twice does nothing."""
        unwatch, self._unwatch = self._unwatch, lambda: None
        unwatch()
        self._numbers = tuple

    def published(
        self, stream_id: str, outcome: PublishOutcome, count: int, seconds: float, error: StreamyError | None
    ) -> None:
        if stream_id in INTERNAL:
            return
        group = self.groups.of(stream_id)
        if outcome is _STORED and (counts := self._stored.get(group)) is not None:  # as nearly always
            counts.took(seconds)
            with counts.lock:
                counts.events += count
        else:
            self._add_published(group, outcome, count, seconds)

    def published_to_many(
        self, stream_ids: Collection[str], outcome: PublishOutcome, seconds: float, error: StreamyError | None
    ) -> None:
        group_of = self.groups.of
        for group, count in Counter([group_of(stream_id) for stream_id in stream_ids]).items():
            self._add_published(group, outcome, count, seconds)

    def dropped(self, stream_id: str, count: int, reason: DropReason, error: Exception | None) -> None:
        self._tell(of.DROPPED, count, reason.value)

    def publish_retried(self, stream_id: str, attempt: int, delay: float, error: BrokerUnavailable) -> None:
        self._tell(of.RETRIES, 1)

    def run_started(self, stream_id: str, key: str | None) -> None:
        self._tell(of.RUNS_STARTED, 1, self.groups.of(stream_id))

    def run_ended(self, stream_id: str, outcome: str, seconds: float | None) -> None:
        self._tell(of.RUNS_ENDED, 1, self.groups.of(stream_id), str(outcome))
        if seconds is not None:
            self._tell(of.RUN_SECONDS, seconds, str(outcome))

    def connected(self, client: ClientInfo, delivery: str) -> None:
        self._tell(of.OPENED, 1, delivery, client.began.value)
        self._tell(of.CLIENTS, 1, delivery)

    def disconnected(self, client: ClientInfo, delivery: str, reason: DisconnectReason) -> None:
        if reason is DisconnectReason.BUSY:
            self._tell(of.TURNED_AWAY, 1, reason.value)
            return
        self._tell(of.CLOSED, 1, delivery, reason.value)
        self._tell(of.CLIENTS, -1, delivery)
        self._tell(of.LIVES, max(0.0, time.monotonic() - client.requested_at), delivery)

    def turned_away(self, streams: tuple[str, ...], key: str | None, cause: TurnAwayCause) -> None:
        self._tell(of.TURNED_AWAY, 1, cause.value)

    def delivered(
        self, delivery: str, streams: tuple[str, ...], clients: int, size: int, events: int
    ) -> None:
        counts = self._delivered.get(delivery) or self._delivered.setdefault(delivery, _Delivered())
        with counts.lock:
            counts.events += events
            counts.bytes += clients * size

    def gap(self, stream_id: str, cursor: str, goes_on: str, cause: GapCause) -> None:
        self._tell(of.GAPS, 1, cause.value)

    def damaged(self, stream_id: str, entry_id: str | None, reason: str) -> None:
        self._tell(of.DAMAGED, 1)

    def slow(self, client: ClientInfo, lag: Lag) -> None:
        self._tell(of.SLOW, 1)

    def read_failed(self, error: Exception, delay: float | None) -> None:
        self._tell(of.READ_FAILURES, 1)

    def bells_missed(self, count: int) -> None:
        self._tell(of.MISSED_BELLS, count)

    def bell_heard(self, seconds: float) -> None:
        self._bell_heard_at = time.time()
        self._tell(of.BELL, seconds)

    def loop_late(self, seconds: float) -> None:
        self._tell(of.LOOP_LAG, seconds)

    def _add_published(self, group: str, outcome: PublishOutcome, count: int, seconds: float) -> None:
        by_group = self._stored if outcome is _STORED else self._others.setdefault(outcome, {})
        counts = by_group.get(group)
        if counts is None:
            took = self._instruments.bind(of.PUBLISH_SECONDS, (self._manager, group, outcome.value))
            counts = by_group.setdefault(group, _Published(took))
        counts.took(seconds)  # first: upon it, a process begins to look at what it counts
        with counts.lock:
            counts.events += count

    def _tell(self, metric: Metric, value: float, *labels: str) -> None:
        key = (metric, labels)
        add = self._adds.get(key)
        if add is None:
            add = self._adds[key] = self._instruments.bind(metric, (self._manager, *labels))
        add(value)

    def _read(self) -> Iterator[Number]:
        for metric, labels, value in self._numbers():
            yield Number(metric, (self._manager, *labels), value)
        for delivery, counts in list(self._delivered.items()):
            yield Number(of.DELIVERED_EVENTS, (self._manager, delivery), counts.events)
            yield Number(of.DELIVERED_BYTES, (self._manager, delivery), counts.bytes)
        for outcome, by_group in [(_STORED, self._stored), *self._others.items()]:
            for group, published in list(by_group.items()):
                yield Number(of.PUBLISHED, (self._manager, group, outcome.value), published.events)
        if self._bell_heard_at is not None:
            yield Number(of.BELL_HEARD, (self._manager,), self._bell_heard_at)
