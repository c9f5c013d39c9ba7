"""The one interface that a backend implements: an append-only log per stream, plus a bell.

The log is the truth; the bell says "look again", and may bring along what there is to see. A lost
bell costs a delay, never an event.

Every method may be called from any thread. For a passing fault (the backend is away, slow, or
restarting) a method raises BrokerUnavailable and nothing else; whether to try again is decided by
the caller's retry policy, never inside a broker.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

from ..closeable import Closeable
from ..events import Event, Page


class Duplicate(list[str]):
    """The ids that `Broker.append` returns where it stored nothing, since the key was used before."""


class Broker(Closeable, ABC):
    """The logs of one backend.

    A cursor is an id after which a reader goes on. Any text at all may be given as a cursor: one
    that can't be placed is a gap, never an error. `OLDEST`, the empty cursor, reads from the oldest
    entry that is left and is never a gap. Reading never creates a stream.

    Making a broker connects to nothing that it can do without, and many streams are asked for in one
    round trip.
    """

    shared: bool = True
    """Whether what one process appends can be read by another."""

    loses_replies: ClassVar[bool] = True
    """Whether an append can be stored and fail all the same, as when only the reply is lost. Then each
    is given an idempotency key, so that it can be tried again."""

    rings_within: float = 2.0
    """Seconds within which a bell is heard: so long after an append or an end has returned, a `wait` has
    named the stream at the latest, in every process. At most 2, unless the backend can't do better."""

    quiet_for: float = 0.1
    """Seconds after which a watch is at rest: if a `wait` of so long names nothing, nothing is named until
    something grows. A watch that polls may declare more; a second at most is sensible."""

    @abstractmethod
    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        """Store `events` at the end of the stream, all or none, and ring its bell.

        Returns the new entries' ids, in order; for no events none, and nothing is done. If
        `idempotency_key`, which may be any text, was used on this stream before, nothing is stored
        and the ids of that first time are returned, whatever the events are now, also after the stream's
        end: as a `Duplicate`, if the broker can tell. A key is remembered in every process for at least
        a minute, unless 1,000 later appends to its stream come before, and also when its entries have
        been trimmed: it has to outlast any retry policy.

        Raises StreamEnded; BrokerUnavailable, after which the events may or may not be stored,
        which repeating the call with the same key settles.
        """

    @abstractmethod
    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        """What each stream holds after its cursor, many streams in one round trip.

        cursors:   stream id -> cursor.
        limit:     the most entries to return for one stream, at least 1.
        max_bytes: the most bytes of data (`Event.size`) in all pages together, of which each stream
                   has an equal share. A page's first entry is returned whatever its size; further
                   ones as long as the page stays within its share. None: any number.

        Returns a page for every stream asked for, also for one that doesn't exist. `Page.more` says
        whether a page stops before the end of the log. What isn't returned should not be transferred
        either: `bounded` does the counting where entries come one by one.
        """

    @abstractmethod
    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        """The cursor "from now on" of each stream, many streams in one round trip.

        What is appended later lies after it. On a stream that doesn't exist it is a cursor that stays
        good when the stream appears. On one that has ended it lies before the end, so that its reader
        is told of it.
        """

    @abstractmethod
    def end(self, stream_id: str) -> None:
        """End the stream for good, and ring its bell. Durable; once ended, ending does nothing."""

    @abstractmethod
    def watch(self) -> Watch:
        """A new watch. A process needs only one."""

    @abstractmethod
    def close(self) -> None:
        """Free everything, watches too. Later calls raise Closed; closing twice does nothing.

        Calls of other threads that are under way return, or raise Closed or BrokerUnavailable.
        """


class Watch(ABC):
    """What hears the bells of many streams. One thread waits; `BaseWatch` has most of what one needs.

    The promise that everything rests on: an append that returns after `add(stream)` returned makes
    a later `wait` name that stream. A stream may be named for nothing; it may never be forgotten.
    After the backend was away, `wait` names everything or raises BrokerUnavailable, after which
    whoever called it closes the watch and makes a new one.

    How soon: a bell is heard within `Broker.rings_within` seconds. `interrupt` and `close`, of the watch
    or of its broker, wake a `wait` within one second. While nothing grows, a watch names nothing (see
    `Broker.quiet_for`), and takes next to no time of the CPU.
    """

    @abstractmethod
    def add(self, stream_id: str) -> None:
        """Watch this stream as well. Adding twice does nothing. Any thread."""

    @abstractmethod
    def discard(self, stream_id: str) -> None:
        """Watch this stream no longer: what rings from now on isn't named.

        Discarding what isn't watched does nothing. Any thread.
        """

    @abstractmethod
    def wait(self, timeout: float | None) -> Collection[str]:
        """Block until a bell rings, `interrupt` is called or `timeout` seconds are over (None: never).

        Returns the streams that may have grown since the last call, each to be read again; none
        if there are none. Only one thread waits at a time.
        """

    @abstractmethod
    def interrupt(self) -> None:
        """Make the `wait` under way, or else the next one, return at once, and no other. Any thread."""

    @abstractmethod
    def close(self) -> None:
        """Stop watching: a `wait` under way returns, a later one raises Closed. Any thread.

        Closing twice does nothing.
        """
