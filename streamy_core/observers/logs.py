"""Writes the log: one line for each thing that an operator may want to know. Never data."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from typing import Final

from ..errors import BrokerUnavailable, ConfigError, StreamyError
from ..strategies.slow_clients import Lag
from .base import ClientInfo, GapCause, Observer, PublishOutcome

_publisher: Final = logging.getLogger("streamy.publisher")
_hub: Final = logging.getLogger("streamy.hub")
_delivery: Final = logging.getLogger("streamy.delivery")


_A_MINUTE: Final = 60.0

_RETRIES_A_SECOND: Final = 10
"""Lines about attempts: while a backend is away, those of many streams are tried again."""


class Logs(Observer):
    """Logs to `streamy.publisher`, `streamy.hub` and `streamy.delivery`. Any thread."""

    def __init__(self) -> None:
        self._set_up_wrong_until = 0.0
        self._retries = 0
        self._retries_since = 0.0

    def published(
        self, stream_id: str, outcome: PublishOutcome, count: int, seconds: float, error: StreamyError | None
    ) -> None:
        if outcome is PublishOutcome.FAILED:
            _publisher.error("%s", error)
        elif _publisher.isEnabledFor(logging.DEBUG):
            _publisher.debug("stream %r: events: %d, %s, in %.3f s", stream_id, count, outcome, seconds)

    def published_to_many(
        self,
        stream_ids: Collection[str],
        outcome: PublishOutcome,
        seconds: float,
        error: StreamyError | None,
    ) -> None:
        if outcome is PublishOutcome.FAILED:
            _publisher.error("%s", error)
        else:
            _publisher.debug("an event for %d streams: %s, in %.3f s", len(stream_ids), outcome, seconds)

    def publish_retried(self, stream_id: str, attempt: int, delay: float, error: BrokerUnavailable) -> None:
        now = time.monotonic()
        if now >= self._retries_since + 1:
            self._retries, self._retries_since = 0, now
        self._retries += 1
        if self._retries > _RETRIES_A_SECOND:
            return
        _publisher.warning(
            "could not write to stream %r (attempt %d), again in %.2f s: %s", stream_id, attempt, delay, error
        )

    def gap(self, stream_id: str, cursor: str, goes_on: str, cause: GapCause) -> None:
        _hub.info("stream %r: a gap after %r, readers go on after %r: %s", stream_id, cursor, goes_on, cause)

    def damaged(self, stream_id: str, entry_id: str | None, reason: str) -> None:
        what = "what is stored of it" if entry_id is None else f"its entry {entry_id!r}"
        _hub.error("stream %r: %s can't be read, and is skipped: %s", stream_id, what, reason)

    def revoked(self, client: ClientInfo, delivery: str, streams: Collection[str]) -> None:
        _delivery.info(
            "a client of %s may no longer read %s",
            ", ".join(map(repr, client.streams)),
            ", ".join(map(repr, streams)),
        )

    def slow(self, client: ClientInfo, lag: Lag) -> None:
        _delivery.info("a client of %s is slow: %s", ", ".join(map(repr, client.streams)), lag)

    def read_failed(self, error: Exception, delay: float | None) -> None:
        if isinstance(error, ConfigError):
            now = time.monotonic()
            if now >= self._set_up_wrong_until:
                self._set_up_wrong_until = now + _A_MINUTE
                _hub.error("reading fails until somebody mends this: %s", error)
            return
        again = "" if delay is None else f", again in {delay:.2f} s"
        known = isinstance(error, BrokerUnavailable)
        _hub.warning("reading failed%s: %s", again, error, exc_info=None if known else error)

    def read_recovered(self) -> None:
        _hub.info("reading again")

    def bells_missed(self, count: int) -> None:
        _hub.warning("%d streams had grown without a bell: found by the regular look at all of them", count)
