"""What the script `read` answers: see read.lua."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from streamy_core.broker import OLDEST, UNPLACEABLE, DamagedEvent, Entry, Page, StreamInfo, make_id

from .entries import NO_NONCE, decode, text_of

Reply = Sequence[str | bytes]
"""A header, then meta and data of each entry."""

_UNKNOWN: Final = "unknown "


class Header(NamedTuple):
    """The header, if there is such a stream."""

    kind: str
    epoch: str
    head: int
    head_nonce: str
    before: int
    before_nonce: str
    end: str
    sequence: int
    secret: str

    @classmethod
    def of(cls, reply: Reply) -> Header | None:
        """None if there is no such stream."""
        header = text_of(reply[0])
        if header.startswith(_UNKNOWN):
            return None
        kind, epoch, head, head_nonce, before, before_nonce, end, sequence, secret = header.split(" ")
        return cls(kind, epoch, int(head), head_nonce, int(before), before_nonce, end, int(sequence), secret)

    @property
    def id_at_head(self) -> str:
        return make_id(self.epoch, self.head, self.head_nonce)

    @property
    def id_before(self) -> str:
        """The cursor before the oldest entry that is left."""
        return make_id(self.epoch, self.before, self.before_nonce)

    def info(self, stream_id: str) -> StreamInfo:
        return StreamInfo(stream_id, self.head - self.before, self.id_at_head, self.end != "-")

    def page(self, stream_id: str, cursor: str, reply: Reply) -> Page:
        """The page that was read after `cursor`."""
        if self.kind == "gap":
            return Page((), self.id_before, gap=True)
        if self.kind == "over":
            return Page((), cursor, ended=True)
        entries = decode(stream_id, self.epoch, self.sequence, reply[1:])
        more = self.sequence + len(entries) < self.head
        if entries and not more and entries[-1].id != self.id_at_head:
            # What the state says counts: nobody could go on after another id.
            damaged = DamagedEvent(reason="Streamy hasn't written it: its nonce isn't that of the state")
            entries = (*entries[:-1], Entry(self.id_at_head, stream_id, damaged))
        if self.end != "-" and not more:
            return Page(entries, make_id(self.epoch, self.head + 1, self.end), ended=True)
        if entries:
            return Page(entries, entries[-1].id, more=more)
        return Page((), self.id_before if cursor == OLDEST else cursor)


def cursor_of(answer: str) -> str:
    """The cursor of what the script `earlier` answers: see earlier.lua."""
    if answer in ("", "?"):
        return UNPLACEABLE if answer else OLDEST
    epoch, sequence, nonce = answer.split(" ")
    return make_id(epoch, int(sequence), nonce)


def origin(epoch: str, reply: Reply) -> str:
    """The cursor before the first entry of a stream that isn't there yet."""
    return make_id(epoch, int(text_of(reply[0]).split(" ")[1]), NO_NONCE)


def damage_of(reply: Reply) -> str | None:
    """Why what is kept of a stream that isn't there can't be read, if there is something."""
    if not text_of(reply[0]).endswith(" damaged"):
        return None
    return "Streamy hasn't written its state; the stream begins anew when it is next written to"
