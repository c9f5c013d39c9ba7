"""How an event is written into a log, and read from it: two texts, its meta and its data."""

from __future__ import annotations

from collections.abc import Sequence

from streamy_core.events import Entry, Event
from streamy_core.ids import make_id


def encode(event: Event, nonce: str) -> tuple[str, str]:
    """Meta and data."""
    retry = "" if event.retry is None else event.retry
    return f"{nonce}\n{retry}\n{event.name or ''}", event.data


def decode(stream_id: str, epoch: str, sequence: int, texts: Sequence[str | bytes]) -> tuple[Entry, ...]:
    """The entries that these texts, meta and data in turn, stand for: the first comes after `sequence`."""
    entries: list[Entry] = []
    for index in range(0, len(texts), 2):
        sequence += 1
        nonce, retry, name = text_of(texts[index]).split("\n")
        event = Event(text_of(texts[index + 1]), name or None, int(retry) if retry else None)
        entries.append(Entry(make_id(epoch, sequence, nonce), stream_id, event))
    return tuple(entries)


def text_of(value: str | bytes) -> str:
    """The text: a client that is shared with others may decode by itself."""
    return value if isinstance(value, str) else value.decode()
