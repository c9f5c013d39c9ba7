"""What one message of JetStream holds: all entries of one append, or the end."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from streamy_core.broker import Entry, Event

_ID = re.compile(r"([0-9]{1,19})\.([0-9]{1,9})\.[0-9a-z]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Mark:
    """A record: its sequence number, and how many entries its stream had had with it."""

    seq: int
    total: int


@dataclass(frozen=True, slots=True)
class Record:
    """Some entries in the log of a stream. An append is stored whole or not at all, for it is one message.

    seq:    the message's number, which JetStream gives it.
    before: the id of the entry before it.
    total:  how many entries the stream has had, these among them.
    mark:   a record after which there were fewer than `history` entries when this was appended.
    nonce:  tells its ids from those of another message of this number, in another history.
    events: what was appended; none, if this is the end.
    """

    seq: int
    before: str
    total: int
    mark: Mark
    nonce: str
    events: tuple[Event, ...] = ()

    @classmethod
    def origin(cls, epoch: str) -> Self:
        """What lies before the first record of any stream."""
        return cls(0, "", 0, Mark(0, 0), epoch)

    @classmethod
    def decode(cls, seq: int, data: bytes) -> Self:
        """The record in a message."""
        fields = json.loads(data)
        events = tuple([Event(*event) for event in fields["events"]])
        return cls(seq, fields["before"], fields["total"], Mark(*fields["mark"]), fields["nonce"], events)

    def encode(self) -> bytes:
        """The message's data, which doesn't know its number."""
        fields = {
            "before": self.before,
            "total": self.total,
            "mark": (self.mark.seq, self.mark.total),
            "nonce": self.nonce,
            "events": [(event.data, event.name, event.retry) for event in self.events],
        }
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()

    def followed_by(self, events: Sequence[Event], nonce: str, history: int) -> Record:
        """The next record, without a number yet."""
        total = self.total + len(events)
        full = total - self.mark.total >= history
        mark = Mark(self.seq, self.total) if full else self.mark
        return Record(0, self.last, total, mark, nonce, tuple(events))

    @property
    def ends(self) -> bool:
        return self.seq > 0 and not self.events

    @property
    def last(self) -> str:
        """The id of its last entry; of an end, the end's own."""
        return make_id(self.seq, max(0, len(self.events) - 1), self.nonce)

    @property
    def size(self) -> int:
        """Bytes of all its data."""
        return sum(event.size for event in self.events)

    def entries(self, stream_id: str) -> list[Entry]:
        return [
            Entry(make_id(self.seq, index, self.nonce), stream_id, event)
            for index, event in enumerate(self.events)
        ]


def make_id(seq: int, index: int, nonce: str) -> str:
    """The id of a record's entry; the first has index 0."""
    return f"{seq}.{index}.{nonce}"


def seq_of(cursor: str) -> int:
    """The number of the record that the cursor may be of; 0 if it is of none."""
    found = _ID.fullmatch(cursor)
    return int(found[1]) if found else 0
