"""One stream's log in memory, and what is left of it when it is dropped."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from streamy_core.broker import OLDEST, Entry, Event, bounded, make_id, sequence_of

_new_entry: Final[Callable[[type[Entry], tuple[str, str, Event]], Entry]] = tuple.__new__  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType] - a tuple of anything
"""What a named tuple's constructor calls, at half its price."""


class Tombstone(NamedTuple):
    """What is known of a stream that was dropped: the id of its newest entry, and that of its end, if any."""

    last: str
    end: str | None


class Log:
    """One stream's entries, and what is known of those already dropped."""

    __slots__ = (
        "before",
        "bytes",
        "end",
        "entries",
        "keys",
        "last",
        "nonce",
        "sequence",
        "times",
        "written_at",
    )

    def __init__(self, last: str, end: str | None, nonce: str) -> None:
        self.entries: deque[Entry] = deque()
        self.times: deque[float] = deque()  # when each was appended
        self.before: str = last  # the cursor before the oldest entry
        self.last: str = last  # the newest entry's id
        self.sequence: int = sequence_of(last) or 0  # the newest entry's
        self.end: str | None = end  # the end's own id, once the stream has ended
        self.nonce: str = nonce  # tells its entries from those of a log of this name that was forgotten
        self.bytes: int = 0
        self.keys: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self.written_at: float = 0.0

    def append(self, stream_id: str, epoch: str, events: Sequence[Event], size: int, now: float) -> list[str]:
        """Add entries of this stream at its end, and return their ids. size: the bytes of their data."""
        ids: list[str] = []
        sequence = self.sequence
        for event in events:
            sequence += 1
            entry_id = make_id(epoch, sequence, self.nonce)
            self.entries.append(_new_entry(Entry, (entry_id, stream_id, event)))
            self.times.append(now)
            ids.append(entry_id)
        self.last = ids[-1]
        self.sequence = sequence
        self.bytes += size
        return ids

    def drop_oldest(self) -> int:
        """Drop one entry and return its bytes."""
        dropped = self.entries.popleft()
        self.times.popleft()
        self.before = dropped.id
        self.bytes -= dropped.event.size
        return dropped.event.size

    def count_up_to(self, cursor: str) -> int | None:
        """How many entries lie at or before `cursor`, or None if it isn't one of theirs."""
        if cursor == self.last:
            return len(self.entries)
        if len(self.entries) > 1 and cursor == self.entries[-2].id:
            return len(self.entries) - 1  # whoever keeps up asks from here
        sequence = sequence_of(cursor)
        count = -1 if sequence is None else sequence - self.sequence + len(self.entries)
        if not 0 < count < len(self.entries):
            return None
        return count if self.entries[count - 1].id == cursor else None

    def cursor_at(self, count: int) -> str:
        """The cursor after so many of its entries; OLDEST for none, or fewer."""
        return self.entries[count - 1].id if count > 0 else OLDEST

    def entries_from(self, first: int, limit: int, max_bytes: int | None) -> tuple[Entry, ...]:
        if first == len(self.entries) - 1:
            return (self.entries[-1],)  # whoever keeps up asks from here
        # By index: a deque's own iterator would walk to the first from its beginning.
        return bounded(map(self.entries.__getitem__, range(first, len(self.entries))), limit, max_bytes)

    def remember(self, key: str, ids: list[str], most: int) -> None:
        self.keys[key] = tuple(ids)
        if len(self.keys) > most:
            self.keys.popitem(last=False)
