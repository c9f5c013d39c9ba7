"""A broker with faults on demand, which counts what is asked of it."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence

from streamy_backends.memory import Limits, MemoryBroker
from streamy_core import BrokerUnavailable, Closed, Event
from streamy_core.broker import Page, PartlyUnavailable, Watch
from streamy_core.observers import Observer, PublishOutcome


class FaultyBroker(MemoryBroker):
    """A memory broker that loses bells, or is away, when told so.

    deaf:   bells don't ring.
    away:   whether every call fails, as long as it is set.
    broken: an error that the next read raises, once.
    reads:  the cursors of each read so far; tails: the streams of each `tail`.
    """

    loses_replies = True

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits)
        self.deaf = False
        self.away = threading.Event()
        self.broken: Exception | None = None
        self.reads: list[dict[str, str]] = []
        self.tails: list[list[str]] = []

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        self._fail_if_away()
        return super().append(stream_id, events, idempotency_key=idempotency_key)

    def append_to_many(
        self, batches: Mapping[str, Sequence[Event]], *, idempotency_key: str | None = None
    ) -> Mapping[str, list[str]]:
        self._fail_if_away()
        return super().append_to_many(batches, idempotency_key=idempotency_key)

    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        self._fail_if_away()
        self.reads.append(dict(cursors))
        if self.broken is not None:
            error, self.broken = self.broken, None
            raise error
        return super().read(cursors, limit, max_bytes)

    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        self._fail_if_away()
        self.tails.append(list(stream_ids))
        return super().tail(stream_ids)

    def watch(self) -> Watch:
        self._fail_if_away()
        return _FaultyWatch(self, super().watch())

    def _fail_if_away(self) -> None:
        if self.away.is_set():
            raise BrokerUnavailable("the broker is away")


class SlowBroker(FaultyBroker):
    """Its log can't be read while it is held up.

    held_up: how many reads are.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits)
        self.held_up = 0
        self._goes_on = threading.Event()
        self._goes_on.set()

    def hold_up(self) -> None:
        """Let no read end until `go_on`."""
        self._goes_on.clear()

    def go_on(self) -> None:
        """Let reads end."""
        self._goes_on.set()

    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        self.held_up += 1
        self._goes_on.wait()
        self.held_up -= 1
        return super().read(cursors, limit, max_bytes)


class _FaultyWatch(Watch):
    def __init__(self, broker: FaultyBroker, watch: Watch) -> None:
        self._broker = broker
        self._watch = watch
        self.add = watch.add  # type: ignore[method-assign]
        self.discard = watch.discard  # type: ignore[method-assign]
        self.interrupt = watch.interrupt  # type: ignore[method-assign]
        self.close = watch.close  # type: ignore[method-assign]

    def add(self, stream_id: str) -> None: ...

    def discard(self, stream_id: str) -> None: ...

    def interrupt(self) -> None: ...

    def close(self) -> None: ...

    def wait(self, timeout: float | None) -> Collection[str]:
        if self._broker.away.is_set():
            raise BrokerUnavailable("the broker is away")
        rung = self._watch.wait(timeout)
        return () if self._broker.deaf else rung


class BringingBroker(FaultyBroker):
    """One whose bells bring the entries along, unless they are `lost`."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = False

    def watch(self) -> Watch:
        self._fail_if_away()
        return _BringingWatch(self, MemoryBroker.watch(self))


class _BringingWatch(_FaultyWatch):
    _broker: BringingBroker

    def brought(self, stream_id: str, cursor: str) -> Page | None:
        return (
            None
            if self._broker.lost
            else MemoryBroker.read(self._broker, {stream_id: cursor}, 100)[stream_id]
        )


class Counting(MemoryBroker):
    """Keeps what it was asked for; for so many calls some streams are out of its reach, or replies lost."""

    loses_replies = True

    def __init__(self) -> None:
        super().__init__(Limits(streams=20_000))
        self.calls: list[list[str]] = []
        self.keys: set[str | None] = set()
        self.out_of_reach: set[str] = set()
        self.faults = 0
        self.all_or_none = False  # whether a call to many stores nothing if one of them is out of reach
        self.replies_lost = 0
        self.closes_after: int | None = None

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        if self.faults and stream_id in self.out_of_reach:
            self.faults -= 1
            raise BrokerUnavailable("a node is away")
        return super().append(stream_id, events, idempotency_key=idempotency_key)

    def append_to_many(
        self, batches: Mapping[str, Sequence[Event]], *, idempotency_key: str | None = None
    ) -> Mapping[str, list[str]]:
        if self.closes_after is not None and len(self.calls) >= self.closes_after:
            raise Closed("closed in the middle")
        self.calls.append(list(batches))
        self.keys.add(idempotency_key)
        lost = self.out_of_reach if self.faults else set()
        self.faults = max(0, self.faults - 1)
        if self.all_or_none and not lost.isdisjoint(batches):
            raise BrokerUnavailable("a stream is locked")
        reached = {name: events for name, events in batches.items() if name not in lost}
        stored = super().append_to_many(reached, idempotency_key=idempotency_key)
        if self.replies_lost:
            self.replies_lost -= 1
            raise BrokerUnavailable("the reply is lost")
        if len(reached) < len(batches):
            raise PartlyUnavailable(stored, BrokerUnavailable("a node is away"))
        return stored


class Told(Observer):
    """Keeps what it is told of publishing."""

    def __init__(self) -> None:
        self.published_: list[tuple[str, PublishOutcome, int]] = []
        self.retried: list[str] = []

    def published(
        self, stream_id: str, outcome: PublishOutcome, count: int, seconds: float, error: Exception | None
    ) -> None:
        self.published_.append((stream_id, outcome, count))

    def publish_retried(self, stream_id: str, attempt: int, delay: float, error: BrokerUnavailable) -> None:
        self.retried.append(stream_id)
