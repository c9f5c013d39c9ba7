"""How an event is written into a log, and read from it: two texts, its meta and its data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from streamy_core.events import DamagedEvent, Entry, Event, decode_meta, encode_meta
from streamy_core.ids import make_id

NO_NONCE: Final = "000"
"""What stands in an id for the nonce of an entry that has none."""

_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{1,16}", re.ASCII)


def encode(events: Sequence[Event], nonce: str) -> list[str]:
    """Meta and data of each event, in turn."""
    texts: list[str] = []
    for event in events:
        retry = "" if event.retry is None else event.retry
        more = "" if event.meta is None else f"\n{encode_meta(event.meta)}"
        texts += f"{nonce}\n{retry}\n{event.name or ''}{more}", event.data
    return texts


def decode(stream_id: str, epoch: str, sequence: int, texts: Sequence[str | bytes]) -> tuple[Entry, ...]:
    """The entries that these texts, meta and data in turn, stand for: the first comes after `sequence`."""
    entries: list[Entry] = []
    for index in range(0, len(texts), 2):
        sequence += 1
        meta = texts[index]
        try:
            nonce, retry, name, *more = text_of(meta).split("\n", 3)
            if not _NONCE.fullmatch(nonce):
                raise ValueError("its nonce is none")
            event = Event(
                text_of(texts[index + 1]),
                name or None,
                int(retry) if retry else None,
                meta=decode_meta(more[0]) if more else None,
            )
        except ValueError as error:  # somebody else has written it
            nonce, event = _nonce_of(meta), DamagedEvent(reason=f"Streamy hasn't written it: {error}")
        entries.append(Entry(make_id(epoch, sequence, nonce), stream_id, event))
    return tuple(entries)


def text_of(value: str | bytes) -> str:
    """The text: a client that is shared with others may decode by itself."""
    return value if isinstance(value, str) else value.decode()


def text_or_none(value: str | bytes) -> str | None:
    """The text, or None if it is none."""
    try:
        return text_of(value)
    except UnicodeDecodeError:
        return None


def _nonce_of(meta: str | bytes) -> str:
    """As the scripts take it: see common.lua."""
    text = meta if isinstance(meta, str) else meta.decode("latin-1")
    first = text.partition("\n")[0]
    return first if _NONCE.fullmatch(first) else NO_NONCE


def epoch_of(value: bytes) -> str:
    """The epoch that is kept there; '' if it is none."""
    text = value.decode("latin-1")
    return text if re.fullmatch(r"[A-Za-z0-9]{1,16}", text) else ""
