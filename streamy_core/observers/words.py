"""The words in which observers are told what happened, and why."""

from __future__ import annotations

from enum import StrEnum


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
