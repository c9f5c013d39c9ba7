"""Entries as they go out: each with its bytes, a gap and an end among them."""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from ..events import END, GAP, Entry, Event, Page
from ..ids import ID, epoch_of
from ..observers import GapCause
from ..wire import encode_body, encode_id

_SHOWN: Final = 128


class Gap(NamedTuple):
    """What a gap's frame tells: what lay after `cursor` is left out, up to `goes_on`."""

    cursor: str
    goes_on: str
    cause: GapCause


class Frame(NamedTuple):
    """An entry and its bytes, without the `id:` line, which depends on who reads it.

    gap: what it tells of, if it is a gap's.
    """

    entry: Entry
    body: bytes
    gap: Gap | None = None

    @property
    def ends(self) -> bool:
        """Whether this is the stream's end."""
        return self.entry.event.name == END

    def encode(self, cursor: str, default_name: bytes) -> bytes:
        """All bytes for a reader that is at `cursor` after this frame.

        default_name: the `event:` line for an event without a name, or nothing.
        """
        name = default_name if self.entry.event.name is None else b""
        return encode_id(cursor) + name + self.body


def frames_of(stream_id: str, cursor: str, page: Page) -> list[Frame]:
    """The frames of a page that was read after `cursor`; a gap and the end become frames, too."""
    if page.gap:
        return [gap_frame(stream_id, cursor, page.cursor, _cause_of(cursor, page.cursor))]
    frames = [_frame(entry) for entry in page.entries]
    if page.ended and page.cursor != (frames[-1].entry.id if frames else cursor):
        end = Event(json.dumps({"stream": stream_id}), END)
        frames.append(_frame(Entry(page.cursor, stream_id, end)))
    return frames


def gap_frame(stream_id: str, cursor: str, goes_on: str, cause: GapCause) -> Frame:
    """The frame that says that what lies after `cursor` is left out up to `goes_on`."""
    # A cursor that came from a client may be anything; as JSON it is harmless, and it is cut.
    told = {"stream": stream_id, "from": cursor[:_SHOWN], "to": goes_on}
    event = Event(json.dumps(told), GAP)
    frame = _frame(Entry(goes_on, stream_id, event))
    return frame._replace(gap=Gap(cursor[:_SHOWN], goes_on, cause))


def _frame(entry: Entry) -> Frame:
    return Frame(entry, encode_body(entry.event))


def _cause_of(cursor: str, goes_on: str) -> GapCause:
    """Why a cursor could not be placed, as far as the two ids tell: those of other brokers may not."""
    epoch = epoch_of(goes_on)
    if not ID.fullmatch(cursor) or epoch is None or epoch_of(cursor) is None:
        return GapCause.UNKNOWN
    return GapCause.TRIMMED if epoch_of(cursor) == epoch else GapCause.OTHER_HISTORY
