"""What the rows of a reading mean.

A sequence without holes makes reading simple: what lies behind a cursor are the rows of the next
numbers. The row *at* the cursor is read along, without its data, since its nonce tells whether the
cursor is of this history. Where there is no such row, at the very beginning or where a hole was
made by hand, the place has the nonce `NO_ENTRY`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from streamy_core.events import Entry, Event, Page
from streamy_core.ids import make_id, sequence_of

NO_ENTRY: Final = "000"
_MOST: Final = 2**62


class Place(NamedTuple):
    """A cursor's parts."""

    epoch: str
    sequence: int
    nonce: str


class State(NamedTuple):
    """A stream's row. `end_nonce` is that of its end's id, or None while it goes on."""

    epoch: str
    head: int
    end_nonce: str | None


class Row(NamedTuple):
    """An entry's row."""

    sequence: int
    nonce: str
    name: str | None
    retry: int | None
    data: str


def place_of(cursor: str) -> Place | None:
    """The cursor's parts, or None if it is no id of ours."""
    sequence = sequence_of(cursor) if cursor.isascii() else None
    if sequence is None or sequence > _MOST:
        return None
    epoch, _, nonce = cursor.split(".")
    return Place(epoch, sequence, nonce)


def page_after(stream_id: str, cursor: str, state: State, rows: list[Row]) -> Page | None:
    """The page behind the cursor, from the rows at and behind it; None if it can't be placed."""
    place = place_of(cursor)
    if place is None or place.epoch != state.epoch:
        return None
    if place == (state.epoch, state.head + 1, state.end_nonce):
        return Page((), cursor, ended=True)
    rows.sort()
    if rows and rows[0].sequence == place.sequence:
        if rows.pop(0).nonce != place.nonce:
            return None
    elif place.nonce != NO_ENTRY or (rows[0].sequence - 1 if rows else state.head) != place.sequence:
        return None
    following = _without_hole(rows, place.sequence)
    if not following and place.sequence < state.head:  # somebody has deleted what comes next
        onward = rows[0].sequence - 1 if rows else state.head
        return Page((), make_id(state.epoch, onward, NO_ENTRY), gap=True)
    entries = tuple([_entry(stream_id, state.epoch, row) for row in following])
    if state.end_nonce is not None and place.sequence + len(entries) == state.head:
        return Page(entries, make_id(state.epoch, state.head + 1, state.end_nonce), ended=True)
    return Page(entries, entries[-1].id if entries else cursor)


def _without_hole(rows: list[Row], before: int) -> Sequence[Row]:
    if not rows or rows[-1].sequence - before == len(rows):
        return rows
    return [row for number, row in enumerate(rows, before + 1) if row.sequence == number]


def _entry(stream_id: str, epoch: str, row: Row) -> Entry:
    return Entry(make_id(epoch, row.sequence, row.nonce), stream_id, Event(row.data, row.name, row.retry))
