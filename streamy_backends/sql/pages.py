"""What the rows of a reading mean.

A sequence without holes makes reading simple: what lies after a cursor are the rows of the next
numbers. The row *at* the cursor is read along, without its data, since its nonce tells whether the
cursor is of this history. Where there is no such row, at the very beginning or where a hole was
made by hand, the cursor has the nonce `NO_ENTRY`. It also stands in for a nonce that is none: others may
have written the row.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final, NamedTuple

from streamy_core.broker import DamagedEvent, Entry, Page, bounded, make_id, sequence_of

from .meta import event_of

NO_ENTRY: Final = "000"
NOWHERE: Final = 2**62
"""A sequence number that no entry has."""

ANY_BYTES: Final = 2**62
"""As many bytes as a log can't have."""
ANY_ENTRIES: Final = 2**30
"""As many entries as a page can't have, which a database can still count with."""

DAMAGED: Final = Page((), "", damage="Streamy hasn't written its row in the table of streams")
"""Of a stream that can't be read. Its cursor is none."""

_EPOCH: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,15}", re.ASCII)
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{1,16}", re.ASCII)


class CursorParts(NamedTuple):
    """What a cursor is made of."""

    epoch: str
    sequence: int
    nonce: str


class Range(NamedTuple):
    """What is to be read of one stream: up to so many entries after a sequence number."""

    after: int
    limit: int


class State(NamedTuple):
    """A stream's row. `end_nonce` is that of its end's id, or None while it goes on."""

    epoch: str
    head: int
    end_nonce: str | None

    @property
    def is_sound(self) -> bool:
        """Whether it counts entries. (What a column of SQLite's holds may be of any type.)"""
        return type(self.head) is int and 0 <= self.head < NOWHERE


class Row(NamedTuple):
    """An entry's row. `data` is None at the cursor, and where it wasn't sent; then `size` is its bytes."""

    sequence: int
    nonce: str
    name: str | None
    retry: int | None
    data: str | None
    size: int | None

    @property
    def bytes(self) -> int:
        """How many bytes the data has, whether or not it was sent."""
        return self.size or 0 if self.data is None else len(str(self.data).encode(errors="surrogatepass"))


def parts_of(cursor: str) -> CursorParts | None:
    """The cursor's parts, or None if it is no id of ours."""
    sequence = sequence_of(cursor) if cursor.isascii() else None
    if sequence is None or sequence >= NOWHERE:
        return None
    epoch, number, nonce = cursor.split(".")
    if number.startswith("0") and number != "0":  # another spelling of a cursor of ours
        return None
    return CursorParts(epoch, sequence, nonce)


def epoch_of(epoch: Any) -> str:
    """The epoch as it stands in ids: one that is none has another that stands in for it."""
    if isinstance(epoch, str) and _EPOCH.fullmatch(epoch):
        return epoch
    return "0" + hashlib.blake2b(repr(epoch).encode(), digest_size=4).hexdigest()


def nonce_of(nonce: Any) -> str:
    """The nonce as it stands in ids."""
    return nonce if isinstance(nonce, str) and _NONCE.fullmatch(nonce) else NO_ENTRY


def page_after(
    stream_id: str,
    at: CursorParts | None,
    state: State,
    found: Iterable[Row],
    limit: int,
    max_bytes: int,
) -> Page | None:
    """The page after a cursor, or None if that can't be placed.

    found: the rows at and after the cursor, in order. No more are taken than the page holds.
    """
    epoch = epoch_of(state.epoch)
    if at is None or at.epoch != epoch:
        return None
    end_nonce = None if state.end_nonce is None else nonce_of(state.end_nonce)
    if at == (epoch, state.head + 1, end_nonce):
        return Page((), make_id(*at), ended=True)
    rows = iter(found)
    first = next(rows, None)
    if first is not None and first.sequence == at.sequence:
        if first.nonce != at.nonce and nonce_of(first.nonce) != at.nonce:
            return None
        first = next(rows, None)
    elif at.nonce != NO_ENTRY or (first.sequence - 1 if first else state.head) != at.sequence:
        return None
    if at.sequence < state.head and (first is None or first.sequence != at.sequence + 1):
        # Somebody has deleted what comes next.
        onward = first.sequence - 1 if first else state.head
        return Page((), make_id(epoch, onward, NO_ENTRY), gap=True)
    following = chain((first,), rows) if first else ()
    entries = bounded(_entries(stream_id, at, following), limit, max_bytes)
    last = at.sequence + len(entries)
    if end_nonce is not None and last == state.head:
        return Page(entries, make_id(epoch, state.head + 1, end_nonce), ended=True)
    return Page(entries, entries[-1].id if entries else make_id(*at), more=last < state.head)


def _entries(stream_id: str, at: CursorParts, rows: Iterable[Row]) -> Iterator[Entry]:
    """The entries of these rows, up to a hole, or to one whose data wasn't sent."""
    for number, row in enumerate(rows, at.sequence + 1):
        if row.sequence != number or row.data is None:
            return
        nonce = nonce_of(row.nonce)
        try:
            if nonce != row.nonce:
                raise ValueError("its nonce is none")
            event = event_of(row.data, row.name, row.retry)
        except ValueError as error:  # somebody else has written it
            event = DamagedEvent(reason=f"Streamy hasn't written it: {error}")
        yield Entry(make_id(at.epoch, row.sequence, nonce), stream_id, event)
