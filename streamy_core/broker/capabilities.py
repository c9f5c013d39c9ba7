"""What only some backends can do: each a protocol of its own, found by `isinstance`.

A capability is added to a broker, or to a watch, by writing its methods. Nothing has to be registered,
and what a backend lacks is no method that raises.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ..events import Event, Page


@runtime_checkable
class BringsEntries(Protocol):
    """A capability of a watch: its bells bring the entries along, so that they needn't be read."""

    def brought(self, stream_id: str, cursor: str) -> Page | None:
        """What the bells that `wait` has named brought for this stream, once; for the waiting thread.

        A page as `Broker.read` gives for this cursor, but it may end before the log does. None if
        the bells don't tell all, without a hole, that lies after the cursor: then it is to be read. None,
        too, if anybody but a publisher may have rung them: others mustn't be able to bring what is in no log.
        """


@runtime_checkable
class KeepsMeta(Protocol):
    """A capability of a broker: it keeps `Event.meta` with the entry, and gives it back, to the letter.

    It says so by `keeps_meta = True`. Events for any other broker lose their meta before they are appended:
    without an error, since an event is none the worse for it. `encode_meta` and `decode_meta` make one line
    of text of it, and read that.
    """

    keeps_meta: bool


@runtime_checkable
class AppendsToMany(Protocol):
    """A capability of a broker: it can append to many streams in one round trip, or one transaction."""

    def append_to_many(
        self, batches: Mapping[str, Sequence[Event]], *, idempotency_key: str | None = None
    ) -> Mapping[str, list[str]]:
        """As `Broker.append` to each of these streams, of the events that each is to get.

        Of a broadcast all streams are given the same object, so that a backend needs to send it only once.
        Returns the ids of each stream's entries, as a `Duplicate` where the key was used before on that
        stream, if the broker can tell. A stream that has ended is left out. All or none of its events are
        stored in a stream; a backend that can do so stores them in all streams, or in none. Whoever calls
        sees to it that there are not too many at once: 1,000 streams, and some megabytes of data in all.

        Raises BrokerUnavailable, after which they may or may not be stored, which repeating the call with
        the same key settles; PartlyUnavailable, where it is known which streams have them.
        """
        raise NotImplementedError


@runtime_checkable
class AppendsLast(Protocol):
    """A capability of a broker: it can append a stream's last entries and end it, in one step."""

    def append_last(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        """As `Broker.append` of these events, of which there is at least one, and `Broker.end`, in one step.

        Nobody sees the one without the other, and nothing comes in between: of several who do this at
        once one is the first, and the others raise StreamEnded and have stored nothing. So whoever appends
        last has decided what the stream's end is, and is told so.

        Raises StreamEnded; BrokerUnavailable, after which it may or may not have been done, which repeating
        the call with the same key settles.
        """
        raise NotImplementedError


@runtime_checkable
class AppendsWithin(Protocol):
    """A capability of a broker: it can append within a transaction of the app's."""

    def append_within(
        self, session: Any, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        """As `Broker.append`, within the transaction that is under way in `session`.

        The entries are there for others once it commits; if it rolls back, nothing is left of
        them, not even a hole. Whoever else appends to the stream waits until then.

        Raises StreamEnded; BrokerUnavailable, after which the transaction can only be rolled back;
        TypeError for what is no session; ConfigError for one of another database.
        """
        raise NotImplementedError


@runtime_checkable
class EndsWithin(Protocol):
    """A capability of a broker: it can end a stream within a transaction of the app's."""

    def end_within(self, session: Any, stream_id: str) -> None:
        """As `Broker.end`, within the transaction that is under way in `session`.

        The stream ends for others once it commits; if it rolls back, the stream goes on. Raises as
        `AppendsWithin.append_within`, but for StreamEnded.
        """
        raise NotImplementedError


@runtime_checkable
class ReadsBack(Protocol):
    """A capability of a broker: it finds earlier cursors without reading what has come since."""

    def back(self, cursors: Mapping[str, str | None], entries: int) -> Mapping[str, str]:
        """For each stream the cursor that lies so many entries before the given one.

        cursors: stream id -> cursor; None: that of the newest entry.
        entries: 1 or more.

        Where no more than so many entries are left, or there is no such stream, it is `OLDEST`; for a cursor
        that can't be placed, one that can't be either. Many streams cost one round trip, or two, and a stream
        of a million entries no more than a short one. Any thread. Raises BrokerUnavailable.
        """
        raise NotImplementedError

    def since(self, stream_ids: Collection[str], seconds: float) -> Mapping[str, str]:
        """For each stream the cursor after which come the entries of the last so many seconds; `OLDEST` if
        those are all that are left. Any thread. Raises BrokerUnavailable.
        """
        raise NotImplementedError


@runtime_checkable
class HasTables(Protocol):
    """A capability of a broker: what it keeps has to be made before its first use."""

    def create_tables(self) -> None:
        """Make what isn't there yet. Any thread, in any number of processes at once."""


@runtime_checkable
class Forgets(Protocol):
    """A capability of a broker: it can forget old streams, which it would keep for good."""

    def forget(self, idle_for: float, *, ended: bool = False) -> int:
        """Forget the streams that have not been written to for so many seconds; how many there were.

        ended: only those that have ended.

        A stream of such a name begins anew, as another history: who comes back is told of a gap. Any thread.
        Raises BrokerUnavailable.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A line in a list of streams. `last` is the newest entry's id; `entries` how many are left."""

    stream_id: str
    entries: int
    last: str
    ended: bool


@runtime_checkable
class ListsStreams(Protocol):
    """A capability of a broker: it can name its streams."""

    def streams(self) -> Iterable[StreamInfo]:
        """Every stream that the backend knows, ended ones too, by name."""
        raise NotImplementedError


@runtime_checkable
class TellsTime(Protocol):
    """A capability of a broker: it can say what time it is where its entries are kept."""

    def time(self) -> float:
        """Seconds since 1970, by the backend's own clock. Any thread. Raises BrokerUnavailable."""
        raise NotImplementedError
