"""Events on their way into the tables, and where they have come to lie."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from streamy_core.broker import Event, make_id

from .meta import Packed, with_meta
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
    events: Sequence[Event | Packed]
    history: int = 0
    history_age: int = 0

    @property
    def counted(self) -> dict[str, Any]:
        """The parameters, but for the stream's name, of counting its events in the stream's row."""
        return {
            "epoch": self.epoch,
            "count": len(self.events),
            "history": self.history,
            "history_age": self.history_age,
        }


class ManyBatch(NamedTuple):
    """Events for many streams: `batch`, whose stream and key are none, and the key of each stream.

    each: the events of each stream, where they aren't those of the batch for all.

    The streams are sorted, so that two transactions don't wait for each other.
    """

    batch: Batch
    keys: dict[str, str]
    each: Mapping[str, Sequence[Event | Packed]] | None = None

    @classmethod
    def of(
        cls,
        events: Mapping[str, Sequence[Event]],
        batch: Callable[[Sequence[Event]], Batch],
        idempotency_key: str | None,
    ) -> ManyBatch:
        """For these streams, of which there is at least one. batch: makes one of events."""
        names = sorted(events)
        keys = {name: "" if idempotency_key is None else hashed(name, idempotency_key) for name in names}
        common = events[names[0]]
        if all(own is common for own in events.values()):
            return cls(batch(common), keys)
        return cls(batch(()), keys, {name: with_meta(own) for name, own in events.items()})

    def batch_of(self, stream_id: str) -> Batch:
        """That of one of the streams."""
        events = self.batch.events if self.each is None else self.each[stream_id]
        return self.batch._replace(stream_id=stream_id, key=self.keys[stream_id], events=events)

    def without(self, stream_ids: Collection[str]) -> ManyBatch:
        """What is left without these streams."""
        return self._replace(keys={name: key for name, key in self.keys.items() if name not in stream_ids})


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
