"""Finds earlier cursors: where to begin, and what a stream has kept before."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import Final

from ..events import Entry, History
from ..ids import OLDEST, UNPLACEABLE, epoch_of, sequence_of, split_cursor
from ..starts import Last, Since, Start
from .frames import Frame, Moment, shown
from .log import Log

MAX_HISTORY: Final = 1_000
"""The most entries that `history` gives at once."""

_MOST: Final = 2**52
"""As many entries as a log can't have."""

_LONG: Final = 1e11
"""More seconds than there are since 1970."""

_PAGES: Final = 10
"""As many are looked through for the entries of one."""

_BYTES: Final = 256 * 1024
"""About how many are read at once."""


def wanted_of(log: Log, names: list[str], cursor: str | None, start: Start | None) -> dict[str, str | None]:
    """The cursor to go on after in each stream; None: "from now on".

    cursor: what the client has brought.
    start:  for the streams that it doesn't speak of, since the client has never read them.

    Asks the log where the start needs it: raises BrokerUnavailable then, and ConfigError.
    """
    wanted: dict[str, str | None] = dict.fromkeys(names)
    if cursor is not None:
        wanted.update(split_cursor(cursor, names))
    unknown = [name for name, after in wanted.items() if after is None]
    if unknown and start is not None:
        wanted.update(cursors_of(log, unknown, start))
    return wanted


def cursors_of(log: Log, names: list[str], start: Start) -> dict[str, str]:
    """The cursor of each stream that a start means. Raises BrokerUnavailable, ConfigError."""
    if isinstance(start, str):
        return split_cursor(start, names)
    if isinstance(start, Last):
        return _back(log, dict.fromkeys(names), min(start.count, _MOST))
    if isinstance(start, Since):
        return log.since(names, min(start.seconds, _LONG))
    return _beginnings(log, names)


def history(log: Log, stream_id: str, limit: int, before: str | None) -> History:
    """The newest entries, or those before one: see `StreamManager.history`. Raises BrokerUnavailable."""
    found = _page(log, stream_id, limit, before)
    for _ in range(_PAGES - 1):  # entries that have expired may leave a page half empty
        if len(found.entries) >= limit or found.before is None:
            break
        older = _page(log, stream_id, limit, found.before)
        entries = older.entries + found.entries
        first = older.before if len(entries) <= limit else entries[-limit].id
        found = History(entries[-limit:], found.cursor, first)
    return found


def _page(log: Log, stream_id: str, limit: int, before: str | None) -> History:
    # One more before an entry, which isn't one of them itself; nor is an end, but that isn't counted.
    most = limit if before is None else limit + 1
    start = UNPLACEABLE if before == OLDEST else _back(log, {stream_id: before}, most)[stream_id]
    now = Moment.now()
    found: list[Entry] = []
    first: str | None = None
    cursor, more = start, start != UNPLACEABLE
    while more and len(found) < most:
        frames, page = log.read({stream_id: cursor}, _BYTES, most - len(found))[stream_id]
        more = page.more or page.gap
        for frame in shown(frames, now):
            if frame.ends and page.entries:
                first = first or page.entries[-1].id  # a run's last entry is nothing but that end
            if frame.ends or (before is not None and not _lies_before(frame.entry.id, before)):
                more = False
                break
            cursor = frame.entry.id
            first = first or cursor
            if frame.gap is None and not frame.hidden:
                found.append(frame.entry)
    if len(found) > limit:
        found = found[-limit:]
        first, start = found[0].id, UNPLACEABLE
    if cursor in (OLDEST, UNPLACEABLE):  # there was nothing
        cursor = log.tail([stream_id])[stream_id]
    return History(tuple(found), cursor, None if start == OLDEST else first)


def _lies_before(entry_id: str, other: str) -> bool:
    """Whether an entry of a stream comes before another, which may have been trimmed meanwhile."""
    if entry_id == other:
        return False
    sequences = sequence_of(entry_id), sequence_of(other)
    if sequences[0] is None or sequences[1] is None:  # ids of another form don't tell
        return True
    return epoch_of(entry_id) == epoch_of(other) and sequences[0] < sequences[1]


def _back(log: Log, cursors: Mapping[str, str | None], entries: int) -> dict[str, str]:
    """As `ReadsBack.back`, of brokers that can't, too."""
    found = log.back(cursors, entries)
    if found is not None:
        return found
    return {name: _walk_back(log, name, cursor, entries) for name, cursor in cursors.items()}


def _walk_back(log: Log, stream_id: str, cursor: str | None, entries: int) -> str:
    """The same for one stream, by reading all that is kept."""
    ids: deque[str] = deque(maxlen=entries + 1)
    after, more = OLDEST, True
    while more:
        frames, page = log.read({stream_id: after}, _BYTES)[stream_id]
        more = page.more or page.gap
        for frame in frames:
            after = frame.entry.id
            if not frame.ends:
                _note(ids, frame)
            if after == cursor:
                return ids[0] if len(ids) > entries else OLDEST
    if cursor is not None:
        return UNPLACEABLE
    return ids[0] if len(ids) > entries else OLDEST


def _note(ids: deque[str], frame: Frame) -> None:
    if frame.gap is not None:
        ids.clear()
    ids.append(frame.entry.id)


def _beginnings(log: Log, names: Collection[str]) -> dict[str, str]:
    """The cursor before each stream's first entry; one that can't be placed where that is gone."""
    parts = log.read(dict.fromkeys(names, UNPLACEABLE), 1)
    oldest = {name: page.cursor for name, (_, page) in parts.items()}
    return {name: cursor if sequence_of(cursor) == 0 else UNPLACEABLE for name, cursor in oldest.items()}
