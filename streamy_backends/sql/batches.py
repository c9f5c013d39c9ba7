"""Events on their way into the tables, and where they have come to lie."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from streamy_core.broker import Event, make_id

from .pages import epoch_of


class Batch(NamedTuple):
    """Events to be appended to one stream. `epoch` is for a stream that isn't there yet.

    history, history_age: what is to be kept of it, as this process says; 0: it doesn't.
    """

    stream_id: str
    epoch: str
    nonce: str
    stored_at: int
    key: str
    events: Sequence[Event]
    history: int = 0
    history_age: int = 0


class Stored(NamedTuple):
    """Where a batch lies: after the sequence number `before`. `history` is what the stream keeps."""

    epoch: str
    before: int
    history: int


def ids_of(batch: Batch, stored: Stored) -> list[str]:
    """The ids of the entries that a batch became."""
    first = stored.before + 1
    return [make_id(epoch_of(stored.epoch), first + n, batch.nonce) for n in range(len(batch.events))]


def hashed(stream_id: str, key: str) -> str:
    """An idempotency key as it is kept."""
    text = f"{len(stream_id)} {stream_id}{key}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
