"""Writes the log: one line for each thing that an operator may want to know. Never data.

Each line has fields as well, by the `extra` of the standard library: `streamy_event` says what happened, by
the name of the observer's method, and others begin with `streamy_`, too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from dataclasses import asdict
from typing import Any, Final

from ..errors import BrokerUnavailable, ConfigError, StreamyError
from ..strategies.slow_clients import Lag
from .base import ClientInfo, Observer
from .words import DisconnectReason, GapCause, PublishOutcome, TurnAwayCause

_publisher: Final = logging.getLogger("streamy.publisher")
_hub: Final = logging.getLogger("streamy.hub")
_delivery: Final = logging.getLogger("streamy.delivery")
_runs: Final = logging.getLogger("streamy.runs")

_A_MINUTE: Final = 60.0

_RETRIES_A_SECOND: Final = 10
"""Lines about attempts: while a backend is away, those of many streams are tried again."""


class Logs(Observer):
    """Logs to `streamy.publisher`, `streamy.hub`, `streamy.delivery` and `streamy.runs`. Any thread."""

    def __init__(self) -> None:
        self._set_up_wrong_until = 0.0
        self._retries = 0
        self._retries_since = 0.0

    def published(
        self, stream_id: str, outcome: PublishOutcome, count: int, seconds: float, error: StreamyError | None
    ) -> None:
        failed = outcome is PublishOutcome.FAILED
        if not (failed or _publisher.isEnabledFor(logging.DEBUG)):
            return
        told = _fields("published", stream=stream_id, outcome=outcome.value, count=count, seconds=seconds)
        if failed:
            _publisher.error("%s", error, extra=told)
        else:
            line = "stream %r: events: %d, %s, in %.3f s"
            _publisher.debug(line, stream_id, count, outcome, seconds, extra=told)

    def published_to_many(
        self, stream_ids: Collection[str], outcome: PublishOutcome, seconds: float, error: StreamyError | None
    ) -> None:
        streams = len(stream_ids)
        told = _fields("published_to_many", outcome=outcome.value, count=streams, seconds=seconds)
        if outcome is PublishOutcome.FAILED:
            _publisher.error("%s", error, extra=told)
        else:
            line = "an event for %d streams: %s, in %.3f s"
            _publisher.debug(line, streams, outcome, seconds, extra=told)

    def publish_retried(self, stream_id: str, attempt: int, delay: float, error: BrokerUnavailable) -> None:
        now = time.monotonic()
        if now >= self._retries_since + 1:
            self._retries, self._retries_since = 0, now
        self._retries += 1
        if self._retries > _RETRIES_A_SECOND:
            return
        _publisher.warning(
            "could not write to stream %r (attempt %d), again in %.2f s: %s",
            stream_id,
            attempt,
            delay,
            error,
            extra=_fields("publish_retried", stream=stream_id, attempt=attempt, delay=delay),
        )

    def run_started(self, stream_id: str, key: str | None) -> None:
        told = _fields("run_started", stream=stream_id, key=key)
        _runs.info("stream %r: a run has begun", stream_id, extra=told)

    def run_ended(self, stream_id: str, outcome: str, seconds: float | None) -> None:
        told = _fields("run_ended", stream=stream_id, outcome=str(outcome), seconds=seconds)
        level = logging.WARNING if outcome == "lost" else logging.INFO
        _runs.log(level, "stream %r: its run has ended: %s", stream_id, outcome, extra=told)

    def connected(self, client: ClientInfo, delivery: str) -> None:
        if _delivery.isEnabledFor(logging.DEBUG):
            told = _fields("connected", **_of_client(client), delivery=delivery, began=client.began.value)
            line = "a client of %s is connected (%s, %s)"
            _delivery.debug(line, _named(client.streams), delivery, client.began, extra=told)

    def disconnected(self, client: ClientInfo, delivery: str, reason: DisconnectReason) -> None:
        if _delivery.isEnabledFor(logging.DEBUG):
            seconds = time.monotonic() - client.requested_at
            told = _fields(
                "disconnected", **_of_client(client), delivery=delivery, reason=reason.value, seconds=seconds
            )
            line = "a client of %s is connected no more after %.3f s (%s): %s"
            _delivery.debug(line, _named(client.streams), seconds, delivery, reason, extra=told)

    def turned_away(self, streams: tuple[str, ...], key: str | None, cause: TurnAwayCause) -> None:
        if _delivery.isEnabledFor(logging.DEBUG):
            told = _fields("turned_away", streams=streams, key=key, cause=cause.value)
            _delivery.debug("a client of %s is turned away: %s", _named(streams), cause, extra=told)

    def gap(self, stream_id: str, cursor: str, goes_on: str, cause: GapCause) -> None:
        _hub.info(
            "stream %r: a gap after %r, readers go on after %r: %s",
            stream_id,
            cursor,
            goes_on,
            cause,
            extra=_fields("gap", stream=stream_id, cursor=cursor, goes_on=goes_on, cause=cause.value),
        )

    def damaged(self, stream_id: str, entry_id: str | None, reason: str) -> None:
        what = "what is stored of it" if entry_id is None else f"its entry {entry_id!r}"
        told = _fields("damaged", stream=stream_id, entry=entry_id, reason=reason)
        _hub.error("stream %r: %s can't be read, and is skipped: %s", stream_id, what, reason, extra=told)

    def revoked(self, client: ClientInfo, delivery: str, streams: Collection[str]) -> None:
        told = _fields("revoked", **_of_client(client), delivery=delivery, lost=sorted(streams))
        _delivery.info(
            "a client of %s may no longer read %s", _named(client.streams), _named(tuple(streams)), extra=told
        )

    def slow(self, client: ClientInfo, lag: Lag) -> None:
        told = _fields("slow", **_of_client(client), **asdict(lag))
        _delivery.info("a client of %s is slow: %s", _named(client.streams), lag, extra=told)

    def read_failed(self, error: Exception, delay: float | None) -> None:
        told = _fields("read_failed", error=type(error).__name__, delay=delay)
        if isinstance(error, ConfigError):
            now = time.monotonic()
            if now >= self._set_up_wrong_until:
                self._set_up_wrong_until = now + _A_MINUTE
                _hub.error("reading fails until somebody mends this: %s", error, extra=told)
            return
        again = "" if delay is None else f", again in {delay:.2f} s"
        known = isinstance(error, BrokerUnavailable)
        _hub.warning("reading failed%s: %s", again, error, exc_info=None if known else error, extra=told)

    def read_recovered(self) -> None:
        _hub.info("reading again", extra=_fields("read_recovered"))

    def bells_missed(self, count: int) -> None:
        line = "%d streams had grown without a bell: found by the regular look at all of them"
        _hub.warning(line, count, extra=_fields("bells_missed", count=count))


def _fields(happened: str, **fields: object) -> dict[str, Any]:
    """The fields of a line. Their prefix keeps them apart from a record's own, and from those of others."""
    return {"streamy_event": happened, **{f"streamy_{name}": value for name, value in fields.items()}}


def _of_client(client: ClientInfo) -> dict[str, object]:
    return {"streams": client.streams, "key": client.key}


def _named(streams: Collection[str]) -> str:
    return ", ".join(map(repr, streams))
