"""The one interface of observers, and the words in which they are told what happened."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Protocol

from ..errors import BrokerUnavailable, StreamyError
from ..strategies.slow_clients import Lag


class PublishOutcome(StrEnum):
    """What came of a call that publishes, or that ends a stream."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    """Nothing was stored, since the idempotency key was used before: where the broker can tell."""
    ENDED = "ended"
    """Nothing was stored, since the stream has ended."""
    FAILED = "failed"


class DropReason(StrEnum):
    """Why an event that was given to `send_soon` is not published."""

    FULL = "full"
    """The queue was full when it was sent: `STREAMY_OUTBOX_EVENTS`, `STREAMY_OUTBOX_BYTES`."""
    FAILED = "failed"
    """The retry policy gave up."""
    ENDED = "ended"
    """Its stream has ended."""
    REFUSED = "refused"
    """The broker refuses it, and would again: a missing right or table, an error of its own."""
    CLOSED = "closed"
    """The manager was closed, or the process ended, before it was stored: `STREAMY_OUTBOX_FLUSH_TIMEOUT`."""


class DisconnectReason(StrEnum):
    """Why a client is no longer connected."""

    GONE = "gone"
    """It left, or its network did."""
    ENDED = "ended"
    """All its streams have ended."""
    SLOW = "slow"
    """The slow-client policy decided against it."""
    EXPIRED = "expired"
    """Its time was over: `STREAMY_MAX_CONNECTION_AGE`, or its right to read has ended: `until`, a grant."""
    LEVELLED = "levelled"
    """Its worker had far more clients than the others: `STREAMY_LEVEL_WORKERS`."""
    DISCONNECTED = "disconnected"
    """By `disconnect`."""
    HISTORY_LOST = "history lost"
    """The backend has lost the history that its `floor` was found in: it is found anew when it comes back."""
    REVOKED = "revoked"
    """A re-check said that it may read none of its streams any more, or failed: `STREAMY_RECHECK`."""
    BUSY = "busy"
    """No slot was free, or a limit was reached: it was given what it had missed, and told to come back."""
    SHUTDOWN = "shutdown"
    """The process, or the manager, stops."""


class GapCause(StrEnum):
    """Why a reader could not be given everything after its cursor."""

    TRIMMED = "trimmed"
    """The entries after the cursor are no longer kept."""
    OTHER_HISTORY = "other history"
    """The cursor is from a history that the backend has lost: it was restarted, flushed, failed over."""
    UNKNOWN = "unknown"
    """The cursor is none of the backend's, or says nothing of where it came from."""
    SKIPPED = "skipped"
    """The slow-client policy left entries out."""
    WITHHELD = "withheld"
    """The client may not read as far back: `floor`."""
    DAMAGED = "damaged"
    """What the backend has stored there can't be read."""


class Beginning(StrEnum):
    """Where in its streams a client began."""

    LIVE = "live"
    """With what came from then on."""
    START = "start"
    """Where its view said: `get_stream(after=…)`."""
    RESUMED = "resumed"
    """After the cursor that it brought: it came back, or its page was made with one."""


class TurnAwayCause(StrEnum):
    """Why a client that asked for streams was given none of their events."""

    UNAVAILABLE = "unavailable"
    """The backend could not be reached, or took too long: it is told to come back."""
    FAULT = "fault"
    """What somebody has to mend: tables are missing, no descriptor is left. It is told to come back."""
    STREAMS = "streams"
    """Too many streams at once: `STREAMY_MAX_STREAMS_PER_CONNECTION`."""
    KEY = "key"
    """Too many of its key in all processes together: `STREAMY_MAX_CONNECTIONS_PER_KEY_TOTAL`."""
    OPENS = "opens"
    """Its key opens too many a minute: `STREAMY_MAX_OPENS_PER_MINUTE`."""
    EXPIRED = "expired"
    """Its right to read had ended when it came: `until`, a grant's end."""
    GRANT = "grant"
    """It had no grant, or none that is valid: it got 401 or 403."""
    ORIGIN = "origin"
    """It is the page of another origin, which isn't allowed: it got 403."""
    ENDED = "ended"
    """All its streams have ended, and it knew: it got 204, and comes back no more."""


class ClientInfo(Protocol):
    """What an observer is told of a client."""

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that it came for."""
        raise NotImplementedError

    @property
    def key(self) -> str | None:
        """Whom it belongs to: `get_stream(key=…)`."""

    @property
    def requested_at(self) -> float:
        """When the request that it came with began, by `time.monotonic`."""
        raise NotImplementedError

    @property
    def began(self) -> Beginning:
        """Where in its streams it began."""
        raise NotImplementedError


class Observer:
    """Hears what happens in one manager of one process. Each method does nothing, and may be overridden.

    Methods are called by whichever thread did it, without an app context: they must not block, and
    take locks only for moments. An error in one is logged once and harms nobody.
    """

    def published(
        self, stream_id: str, outcome: PublishOutcome, count: int, seconds: float, error: StreamyError | None
    ) -> None:
        """Events were published to a stream, or were to be. Of what `send_soon` was given: were stored.

        count:   how many; 0 where a stream could not be ended.
        seconds: how long the call took, all its attempts together.
        error:   what it raised, if it did.
        """

    def published_to_many(
        self, stream_ids: Collection[str], outcome: PublishOutcome, seconds: float, error: StreamyError | None
    ) -> None:
        """One event was published to all these streams, or was to be, by one call: a broadcast.

        Unless it is overridden, `published` is told of each. What comes of the other streams of the same
        broadcast is told by other calls.
        """
        for stream_id in stream_ids:
            self.published(stream_id, outcome, 1, seconds, error)

    def dropped(self, stream_id: str, count: int, reason: DropReason, error: Exception | None) -> None:
        """Events that were given to `send_soon` are not published; `published` tells of the others.

        With FAILED and CLOSED it may be that they were stored all the same, and only the reply is missing.

        error: why, where something was raised.
        """

    def publish_retried(self, stream_id: str, attempt: int, delay: float, error: BrokerUnavailable) -> None:
        """An attempt (from 1) to write to a stream has failed; there is another in `delay` seconds."""

    def stream_ended(self, stream_id: str) -> None:
        """A reader of this process was told of a stream's end. Once for each stream and process."""

    def run_started(self, stream_id: str, key: str | None) -> None:
        """A run has begun, which this process holds. key: whom it belongs to."""

    def run_ended(self, stream_id: str, outcome: str, seconds: float | None) -> None:
        """This process has ended a run, as a `RunOutcome` says.

        seconds: how long it took; None: it was another's, which was lost.
        """

    def connected(self, client: ClientInfo, delivery: str) -> None:
        """A client is connected. delivery: "wsgi" or "detached"."""

    def disconnected(self, client: ClientInfo, delivery: str, reason: DisconnectReason) -> None:
        """A client is no longer connected; or, with BUSY, never was."""

    def revoked(self, client: ClientInfo, delivery: str, streams: Collection[str]) -> None:
        """A re-check has taken these streams from a client, which goes on with its others."""

    def turned_away(self, streams: tuple[str, ...], key: str | None, cause: TurnAwayCause) -> None:
        """A client asked for these streams, and was given none of their events.

        One that found no slot, or a limit of this process, is told of by `disconnected`, as BUSY.

        streams: none where nobody can say which.
        """

    def delivered(
        self, delivery: str, streams: tuple[str, ...], clients: int, size: int, events: int
    ) -> None:
        """A chunk of `size` bytes was handed to the system for so many clients of these streams.

        Told for each chunk, never for each client.

        events: how many were in it, counted once for each client: 3 events for 5 clients are 15.
        """

    def gap(self, stream_id: str, cursor: str, goes_on: str, cause: GapCause) -> None:
        """Readers were told that what lay after `cursor` is left out, up to `goes_on`.

        Once for each client that came back to it, once where clients of this process met it together; what
        is damaged is told of once.
        """

    def damaged(self, stream_id: str, entry_id: str | None, reason: str) -> None:
        """An entry can't be read, and its readers are told of a gap in its place. Once in each process.

        entry_id: None if it is what the backend keeps of the stream as a whole.
        """

    def slow(self, client: ClientInfo, lag: Lag) -> None:
        """The slow-client policy has decided against a client."""

    def read_failed(self, error: Exception, delay: float | None) -> None:
        """The log could not be read, or its bells not be heard.

        delay: seconds until the next attempt; None: whoever reads has given up.
        """

    def read_recovered(self) -> None:
        """The hub reads again after a failure."""

    def bells_missed(self, count: int) -> None:
        """So many streams had grown without a bell: found by the regular look at all of them."""

    def bell_heard(self, seconds: float) -> None:
        """The canary's own entry came back through the broker after so many seconds."""

    def loop_late(self, seconds: float) -> None:
        """The event loop came so late to what was due. Told once a second, while it has clients."""
