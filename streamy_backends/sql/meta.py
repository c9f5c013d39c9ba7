"""An event's meta in the table of entries, which has no column for it.

It is the first line of `data`, and `retry`, which else is 0 or more, is -1 then. So tables that were made
before keep it as well. A release that doesn't know of this takes such an entry for damaged, and tells its
readers of a gap: it sends none of it on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from streamy_core.broker import Event, decode_meta, encode_meta

_PACKED: Final = -1
"""What stands for the retry of an event whose data begins with it, and its meta."""


class Packed(NamedTuple):
    """An event with a meta, as its row has it."""

    data: str
    name: str | None
    retry: int


def with_meta(events: Sequence[Event]) -> Sequence[Event | Packed]:
    """The events as their rows have them."""
    return [event if event.meta is None else _packed(event) for event in events]


def event_of(data: str, name: str | None, retry: int | None) -> Event:
    """The event of a row. Raises ValueError if it can't be one."""
    if retry != _PACKED or type(data) is not str:  # (a column of SQLite's may hold anything)
        return Event(data, name, retry)
    first, line, rest = data.partition("\n")
    own_retry, space, meta = first.partition(" ")
    if not (line and space):
        raise ValueError("its meta is none")
    return Event(rest, name, int(own_retry) if own_retry else None, meta=decode_meta(meta))


def _packed(event: Event) -> Packed:
    assert event.meta is not None
    retry = "" if event.retry is None else event.retry
    return Packed(f"{retry} {encode_meta(event.meta)}\n{event.data}", event.name, _PACKED)
