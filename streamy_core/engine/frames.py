"""Entries as they go out: each with its bytes, a gap and an end among them."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Self

from ..events import END, GAP, Entry, Event
from ..ids import ID, epoch_of
from ..observers import GapCause
from ..wire import encode_body, encode_id, encode_name, encode_retry, encode_stream
from .traces import Handover

_SHOWN: Final = 128
_AFTER_THE_END: Final = (5_000, 60_000)
_NOTHING: Final = b"\n"
"""After an `id:` line: it moves a client's place and dispatches nothing (WHATWG HTML section 9.2.6)."""


class Gap(NamedTuple):
    """What a gap's frame tells: what lay after `cursor` is left out, up to `goes_on`.

    placed: whether `cursor` is one of the stream's: then whoever comes back to it is given the same again.
    """

    cursor: str
    goes_on: str
    cause: GapCause
    placed: bool = True


class Framing(NamedTuple):
    """How a client is sent its frames.

    default_line: the `event:` line of an event that was published without a name; nothing: none.
    tells_streams: whether each frame says which stream it is of.
    bounded: whether there is a bound to how far back it may read: see `floors`.
    describe: makes what is sent in place of each event; always the same of the same. None: it is sent itself.
    """

    default_line: bytes = b""
    tells_streams: bool = False
    bounded: bool = False
    describe: Callable[[Event], Event] | None = None

    @classmethod
    def of(cls, default_name: str, *, tells_streams: bool = False, bounded: bool = False) -> Self:
        """That by which an event without a name gets this one. Raises InvalidEvent for a line break in it."""
        # Readers take an event without a name for a "message" (WHATWG HTML section 9.2.6).
        line = b"" if default_name == "message" else encode_name(default_name)
        return cls(line, tells_streams, bounded)


class Moment(NamedTuple):
    """By two clocks: in seconds since 1970, as others tell it; and by `time.monotonic`, which never jumps."""

    wall: float
    monotonic: float

    @classmethod
    def now(cls) -> Self:
        """The present one."""
        return cls(time.time(), time.monotonic())


class Frame(NamedTuple):
    """An entry and its bytes, without the `id:` line, which depends on who reads it.

    gap: what it tells of, if it is a gap's.
    until: who comes later isn't shown it, in seconds since 1970; None: everybody is.
    read_at: when the hub read it, by `time.monotonic`: who came before is shown it, whatever clocks say.
    hidden: it is shown to nobody, and only moves the cursor on.
    handover: to be called when it has been handed to a client; None: nobody wants to know.
    """

    entry: Entry
    body: bytes
    gap: Gap | None = None
    until: float | None = None
    read_at: float | None = None
    hidden: bool = False
    handover: Handover | None = None

    @property
    def ends(self) -> bool:
        """Whether this is the stream's end."""
        return self.entry.event.name == END

    def encode(self, cursor: str, framing: Framing, *, last: bool = False) -> bytes:
        """All bytes for a reader that is at `cursor` after this frame.

        last: whether it is the end of the reader's only stream that goes on: then it tells when to come back.
        """
        # The entry's own id has been looked at when the frame was made.
        line = b"id: %b\n" % cursor.encode() if cursor is self.entry.id else encode_id(cursor)
        return line + (encode_retry(retry_after_end()) if last else b"") + self.after_id(framing)

    def after_id(self, framing: Framing) -> bytes:
        """Its bytes but for the `id:` line."""
        if self.hidden:
            return self.body
        if framing.describe is not None and self.gap is None and not self.ends:
            return encode_body(framing.describe(self.entry.event))
        name = framing.default_line if self.entry.event.name is None else b""
        stream = encode_stream(self.entry.stream_id) if framing.tells_streams else b""
        return stream + name + self.body

    def was_over(self, came: Moment) -> bool:
        """Whether who came at this moment isn't shown it."""
        if self.until is None or self.until > came.wall:
            return False
        return self.read_at is None or self.read_at <= came.monotonic


def retry_after_end() -> int:
    """When a client comes back to be told by a 204 that all has ended, in milliseconds, drawn by chance."""
    return random.randint(*_AFTER_THE_END)


def frame_of(entry: Entry, until: float | None = None) -> Frame:
    """The frame of an entry that is sound. until: see Frame."""
    return Frame(entry, encode_body(entry.event), None, until)


def hidden_frame(entry: Entry) -> Frame:
    """The frame of an entry that nobody is shown."""
    return Frame(entry, _NOTHING, hidden=True)


def shown(frames: list[Frame], came: Moment) -> list[Frame]:
    """These as who came at this moment is shown them: what was over by then is hidden."""
    if not any(frame.was_over(came) for frame in frames):
        return frames
    return [frame._replace(body=_NOTHING, hidden=True) if frame.was_over(came) else frame for frame in frames]


def read_live(frames: list[Frame]) -> list[Frame]:
    """These, as the hub has just read them, for readers who are there."""
    if all(frame.until is None for frame in frames):
        return frames
    now = time.monotonic()
    return [frame if frame.until is None else frame._replace(read_at=now) for frame in frames]


def end_frame(stream_id: str, cursor: str, told: Mapping[str, str] | None = None) -> Frame:
    """The frame that says that the stream has ended for good. cursor: the end's own id. told: what else."""
    return frame_of(Entry(cursor, stream_id, Event(json.dumps({"stream": stream_id, **(told or {})}), END)))


def gap_frame(stream_id: str, cursor: str, goes_on: str, cause: GapCause, *, placed: bool = True) -> Frame:
    """The frame that says that what lies after `cursor` is left out up to `goes_on`."""
    # A cursor that came from a client may be anything; as JSON it is harmless, and it is cut.
    told = {"stream": stream_id, "from": cursor[:_SHOWN], "to": goes_on}
    frame = frame_of(Entry(goes_on, stream_id, Event(json.dumps(told), GAP)))
    return frame._replace(gap=Gap(cursor[:_SHOWN], goes_on, cause, placed))


def cause_of(cursor: str, goes_on: str) -> GapCause:
    """Why a cursor could not be placed, as far as the two ids tell: those of other brokers may not."""
    epoch = epoch_of(goes_on)
    if not ID.fullmatch(cursor) or epoch is None or epoch_of(cursor) is None:
        return GapCause.UNKNOWN
    return GapCause.TRIMMED if epoch_of(cursor) == epoch else GapCause.OTHER_HISTORY
