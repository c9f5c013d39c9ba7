"""What only some backends can do: each a protocol of its own, found by `isinstance`.

A capability is added to a broker, or to a watch, by writing its methods. Nothing has to be registered,
and what a backend lacks is no method that raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
class HasTables(Protocol):
    """A capability of a broker: what it keeps has to be made before its first use."""

    def create_tables(self) -> None:
        """Make what isn't there yet. Any thread, in any number of processes at once."""


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
