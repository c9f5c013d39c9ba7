"""What databases have in common that are servers: many streams are read in one round trip.

A row's data is sent if the page would hold it, were all before it as large: its size times its number
is within the page's bytes. So of entries that are alike, just those are sent that the page holds.
Where sizes differ, some that would fit may not be sent; with all sizes known, these are asked for once more.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

from sqlalchemy import Engine
from sqlalchemy.engine.interfaces import DBAPICursor

from .dialect import Dialect
from .options import Options
from .pages import ANY_BYTES, Range, Row, State
from .tables import Tables

DATA: Final = """
    CASE WHEN e.sequence > {after} AND (
        octet_length(e.data) * (e.sequence - {after}) <= :max_bytes OR e.sequence = {after} + 1
    ) THEN e.data END"""
"""An entry's data, if it is sent."""

Found = dict[str, tuple[State, list[Row]]]


class ServerDialect(Dialect):
    """A database that is a server."""

    one: ClassVar[str]
    """Reads `:limit` rows of `:stream_id` after the sequence number `:after`, and the row there.

    Each row has the stream's id, epoch, head and end_nonce; then an entry's sequence, nonce, name,
    retry, data and size, or NULL. A size may be left out where the data is sent.
    """

    def __init__(self, engine: Engine, tables: Tables, options: Options) -> None:
        super().__init__(engine, tables, options)
        self._one = self.render(self.one.replace("{data}", DATA.replace("{after}", ":after")))

    @abstractmethod
    def many(self, ranges: Mapping[str, Range], max_bytes: int) -> tuple[str, dict[str, Any]]:
        """The SQL, and its parameters, that reads several streams likewise.

        Each row may have a stream's state, an entry, or both.
        """

    def read(
        self, db: DBAPICursor, ranges: Mapping[str, Range], max_bytes: int
    ) -> Iterable[tuple[str, State, Iterable[Row]]]:
        found = self._found(db, ranges, max_bytes)
        missing = {
            name: part for name, (_, rows) in found.items() if (part := unsent(rows, ranges[name], max_bytes))
        }
        later = self._found(db, missing, ANY_BYTES) if missing else {}
        for name, (state, rows) in found.items():
            yield name, state, completed(rows, later[name][1]) if name in later else rows

    def _found(self, db: DBAPICursor, ranges: Mapping[str, Range], max_bytes: int) -> Found:
        if len(ranges) == 1:
            ((name, (after, limit)),) = ranges.items()
            stream_id = self.stream_id(name)
            db.execute(
                self._one,
                {"stream_id": stream_id, "after": after, "limit": limit, "max_bytes": max_bytes},
            )
        else:
            db.execute(*self.many(ranges, max_bytes))
        states: dict[str, State] = {}
        rows: dict[str, list[Row]] = {}
        for stream_id, epoch, head, end_nonce, *row in db.fetchall():
            name = self.name_of(stream_id)
            if epoch is not None and name not in states:
                states[name] = State(epoch, head, end_nonce)
            if row[0] is not None:
                rows.setdefault(name, []).append(Row(*row))
        return {name: (state, sorted(rows.get(name, ()))) for name, state in states.items()}


def unsent(rows: Sequence[Row], wanted: Range, max_bytes: int) -> Range | None:
    """The part of the range that a page holds, and whose data wasn't sent; None if it was."""
    following = [row for row in rows if row.sequence > wanted.after]
    if None not in [row.data for row in following]:
        return None
    size = 0
    missing: list[int] = []
    for number, row in enumerate(following):
        size += row.bytes
        if number and size > max_bytes:
            break
        if row.data is None:
            missing.append(row.sequence)
    return Range(missing[0] - 1, missing[-1] - missing[0] + 1) if missing else None


def completed(rows: Sequence[Row], later: Sequence[Row]) -> list[Row]:
    """The rows, with the data that was asked for later."""
    data = {row[:2]: row.data for row in later}
    return [row if row.data is not None else row._replace(data=data.get(row[:2])) for row in rows]
