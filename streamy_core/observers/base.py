"""The one interface of observers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from ..errors import BrokerUnavailable, StreamyError
from ..strategies.slow_clients import Lag
from .words import Beginning, DisconnectReason, DropReason, GapCause, PublishOutcome, TurnAwayCause


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
