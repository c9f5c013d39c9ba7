"""What the live page shows of one stream, and how it finds streams."""

from __future__ import annotations

import json
import threading
import time
from typing import Any, Final

from ..broker import Broker, ListsStreams, ReadsBack
from ..engine.engine import Engine
from ..events import Entry, Event, is_internal
from ..ids import OLDEST, epoch_of, sequence_of

NEWEST: Final = 50
"""Entries that are shown of a stream."""

_AGES: Final = (5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0)
"""Seconds: of an entry it is said which of these it is younger than."""

_FOUND: Final = 50
_SEARCH_TAKES: Final = 2.0

_LONGEST: Final = 20_000
"""Characters of an event's data that are shown."""


def look_at(engine: Engine, stream_id: str, *, with_data: bool) -> dict[str, Any]:
    """What is known of a stream, and its newest entries, the newest first.

    Raises InvalidStreamId, BrokerUnavailable.
    """
    found = engine.history(stream_id, NEWEST)
    log = engine.hub.log
    _, page = log.read({stream_id: found.cursor}, 1)[stream_id]
    ages = _ages(engine, stream_id, found.entries)
    return {
        "id": stream_id,
        "exists": bool(found.entries or page.ended or sequence_of(found.cursor)),
        "ended": page.ended,
        "cursor": found.cursor,
        "published": sequence_of(found.cursor),
        "more": found.before is not None,
        "entries": [
            {"id": entry.id, "age": age, **_described(entry.event, with_data=with_data)}
            for entry, age in zip(reversed(found.entries), reversed(ages), strict=True)
        ],
    }


def without_data(event: Event) -> Event:
    """What a follower is sent in place of an event whose data is hidden."""
    return Event(json.dumps(_described(event, with_data=False)))


def with_data(event: Event) -> Event:
    """The same where it isn't."""
    return Event(json.dumps(_described(event, with_data=True)))


class Finder:
    """Looks through the names of all streams, for one at a time: there may be millions. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def find(self, broker: Broker, part: str) -> dict[str, Any]:
        """The streams whose names have this in them, whatever its case; as many as are found within seconds.

        `lists`: whether the backend can name its streams. `all`: whether these are all. `busy`: somebody else
        is searching, so that nothing was looked for. Raises BrokerUnavailable.
        """
        if not isinstance(broker, ListsStreams):
            return {"lists": False, "all": False, "busy": False, "streams": []}
        if not self._lock.acquire(blocking=False):
            return {"lists": True, "all": False, "busy": True, "streams": []}
        try:
            return {"lists": True, "busy": False, **_search(broker, part.casefold())}
        finally:
            self._lock.release()


def _search(broker: ListsStreams, part: str) -> dict[str, Any]:
    until = time.monotonic() + _SEARCH_TAKES
    streams: list[dict[str, Any]] = []
    looked_through = True
    for info in broker.streams():
        if len(streams) >= _FOUND or time.monotonic() > until:
            looked_through = False
            break
        if part in info.stream_id.casefold() and not is_internal(info.stream_id):
            streams.append({"id": info.stream_id, "entries": info.entries, "ended": info.ended})
    return {"all": looked_through, "streams": streams}


def _described(event: Event, *, with_data: bool) -> dict[str, Any]:
    told = {"name": event.name, "bytes": event.size}
    return {**told, "data": event.data[:_LONGEST]} if with_data else told


def _ages(engine: Engine, stream_id: str, entries: tuple[Entry, ...]) -> list[float | None]:
    """For each entry so many seconds that it is younger; None: older than any of them, or nobody can tell."""
    if not entries or not isinstance(engine.broker, ReadsBack):
        return [None] * len(entries)
    ages: list[float | None] = [None] * len(entries)
    for seconds in _AGES:
        cursor = engine.hub.log.since([stream_id], seconds)[stream_id]
        lying = [_lies_after(entry.id, cursor) for entry in reversed(entries)]
        younger = lying.index(False) if False in lying else len(lying)
        for place in range(len(entries) - younger, len(entries)):
            if ages[place] is None:
                ages[place] = seconds
        if younger == len(entries):
            break
    return ages


def _lies_after(entry_id: str, cursor: str) -> bool:
    if cursor == OLDEST:
        return True
    sequences = sequence_of(entry_id), sequence_of(cursor)
    if sequences[0] is None or sequences[1] is None or epoch_of(entry_id) != epoch_of(cursor):
        return False
    return sequences[0] > sequences[1]
