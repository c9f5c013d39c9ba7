"""Several observers as one, of which none can harm anybody."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

from ..errors import BrokerUnavailable, StreamyError
from ..strategies.slow_clients import Lag
from .base import ClientInfo, Observer
from .words import DisconnectReason, DropReason, GapCause, PublishOutcome, TurnAwayCause

logger: Final = logging.getLogger("streamy.observers")

_METHODS: Final = tuple(name for name in vars(Observer) if not name.startswith("_"))


class Observers(Observer):
    """Tells several observers. What one raises is logged, once for each of its methods. Any thread."""

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        observers = tuple(observers)
        self._hearing: dict[str, tuple[Callable[..., None], ...]] = {
            name: tuple(getattr(observer, name) for observer in observers if _hears(observer, name))
            for name in _METHODS
        }
        self._published = self._hearing["published"]
        self._delivered = self._hearing["delivered"]
        self._failed: set[tuple[str, str]] = set()

    def published(
        self, stream_id: str, outcome: PublishOutcome, count: int, seconds: float, error: StreamyError | None
    ) -> None:
        for hear in self._published:  # for each call that publishes: so without a detour
            try:
                hear(stream_id, outcome, count, seconds, error)
            except Exception:  # noqa: BLE001 - it is logged, but once only
                self._log_once(hear, "published")

    def published_to_many(
        self, stream_ids: Collection[str], outcome: PublishOutcome, seconds: float, error: StreamyError | None
    ) -> None:
        self._tell("published_to_many", stream_ids, outcome, seconds, error)

    def dropped(self, stream_id: str, count: int, reason: DropReason, error: Exception | None) -> None:
        self._tell("dropped", stream_id, count, reason, error)

    def publish_retried(self, stream_id: str, attempt: int, delay: float, error: BrokerUnavailable) -> None:
        self._tell("publish_retried", stream_id, attempt, delay, error)

    def stream_ended(self, stream_id: str) -> None:
        self._tell("stream_ended", stream_id)

    def run_started(self, stream_id: str, key: str | None) -> None:
        self._tell("run_started", stream_id, key)

    def run_ended(self, stream_id: str, outcome: str, seconds: float | None) -> None:
        self._tell("run_ended", stream_id, outcome, seconds)

    def connected(self, client: ClientInfo, delivery: str) -> None:
        self._tell("connected", client, delivery)

    def disconnected(self, client: ClientInfo, delivery: str, reason: DisconnectReason) -> None:
        self._tell("disconnected", client, delivery, reason)

    def revoked(self, client: ClientInfo, delivery: str, streams: Collection[str]) -> None:
        self._tell("revoked", client, delivery, streams)

    def turned_away(self, streams: tuple[str, ...], key: str | None, cause: TurnAwayCause) -> None:
        self._tell("turned_away", streams, key, cause)

    def delivered(
        self, delivery: str, streams: tuple[str, ...], clients: int, size: int, events: int
    ) -> None:
        for hear in self._delivered:  # for each chunk: so without a detour
            try:
                hear(delivery, streams, clients, size, events)
            except Exception:  # noqa: BLE001 - it is logged, but once only
                self._log_once(hear, "delivered")

    def gap(self, stream_id: str, cursor: str, goes_on: str, cause: GapCause) -> None:
        self._tell("gap", stream_id, cursor, goes_on, cause)

    def damaged(self, stream_id: str, entry_id: str | None, reason: str) -> None:
        self._tell("damaged", stream_id, entry_id, reason)

    def slow(self, client: ClientInfo, lag: Lag) -> None:
        self._tell("slow", client, lag)

    def read_failed(self, error: Exception, delay: float | None) -> None:
        self._tell("read_failed", error, delay)

    def read_recovered(self) -> None:
        self._tell("read_recovered")

    def bells_missed(self, count: int) -> None:
        self._tell("bells_missed", count)

    def bell_heard(self, seconds: float) -> None:
        self._tell("bell_heard", seconds)

    def loop_late(self, seconds: float) -> None:
        self._tell("loop_late", seconds)

    def _tell(self, name: str, *what: Any) -> None:
        for hear in self._hearing[name]:
            try:
                hear(*what)
            except Exception:  # noqa: BLE001 - it is logged, but once only
                self._log_once(hear, name)

    def _log_once(self, hear: Callable[..., None], name: str) -> None:
        observer = type(getattr(hear, "__self__", hear)).__name__
        if (observer, name) not in self._failed:
            self._failed.add((observer, name))
            logger.exception(
                "the observer %s failed in %s; this is logged once, and harms nobody else", observer, name
            )


def _hears(observer: Observer, name: str) -> bool:
    if name == "published_to_many" and _hears(observer, "published"):
        return True
    return getattr(type(observer), name, None) is not getattr(Observer, name)
