"""The newest frames of one stream, encoded once and shared by all its readers: a cache of its log.

A reader holds no queue, only a cursor. While the cursor lies in the window its reader is served
from here; when it lies elsewhere (the reader lags, or has just come back) the log is read instead.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from ..events import END, GAP, Entry, Event, Page
from ..wire import encode_body, encode_id, encode_name

_CHUNKS: Final = 16


class Frame(NamedTuple):
    """An entry and its bytes, without the `id:` line, which depends on who reads it."""

    entry: Entry
    body: bytes

    @property
    def ends(self) -> bool:
        """Whether this is the stream's end."""
        return self.entry.event.name == END

    def encode(self, cursor: str, default_name: bytes) -> bytes:
        """All bytes for a connection that is at `cursor` behind this frame.

        default_name: the `event:` line for an event without a name, or nothing.
        """
        name = default_name if self.entry.event.name is None else b""
        return encode_id(cursor) + name + self.body


def frames_of(stream_id: str, cursor: str, page: Page) -> list[Frame]:
    """The frames of a page that was read after `cursor`; a gap and the end become frames, too."""
    if page.gap:
        return [gap_frame(stream_id, cursor, page.cursor)]
    frames = [_frame(entry) for entry in page.entries]
    if page.ended and page.cursor != (frames[-1].entry.id if frames else cursor):
        end = Event(json.dumps({"stream": stream_id}), END)
        frames.append(_frame(Entry(page.cursor, stream_id, end)))
    return frames


def gap_frame(stream_id: str, cursor: str, goes_on: str) -> Frame:
    """The frame that says that what was behind `cursor` is left out up to `goes_on`."""
    # A cursor that came from a client may be anything; as JSON it is harmless, and it is cut.
    news = {"stream": stream_id, "from": cursor[:128], "to": goes_on}
    return _frame(Entry(goes_on, stream_id, Event(json.dumps(news), GAP)))


def _frame(entry: Entry) -> Frame:
    return Frame(entry, encode_body(entry.event))


@dataclass(frozen=True, slots=True)
class WindowLimits:
    """How much of a stream's newest part is kept encoded in this process."""

    entries: int = 1_000
    bytes: int = 1 * 2**20


class Chunk(NamedTuple):
    """Consecutive frames joined for one stream's readers. `more`: there are further ones."""

    data: bytes
    cursor: str
    ends: bool
    more: bool


class Window:
    """See the module. Not locked: the hub does that.

    cursor: where the window begins; frames are appended behind it.

    Its attribute `head` is the cursor behind the newest frame.
    """

    def __init__(self, cursor: str, limits: WindowLimits) -> None:
        self._limits = limits
        self.head = cursor
        self._start = cursor  # the cursor before the oldest frame
        self._frames: deque[Frame] = deque()
        self._first = 0  # how many frames have ever been dropped
        # A place is how many frames, of all there ever were, precede a cursor. Those who keep up ask
        # from the head, or from where it was: other places are noted when somebody asks for one.
        self._head_was = (cursor, 0)
        self._places: dict[str, int] = {}
        self._noted = -1  # up to which place
        self._bytes = 0
        self._chunks: dict[tuple[str, str, int], Chunk] = {}

    def distance(self, cursor: str) -> int | None:
        """How many frames lie behind `cursor`; None if the window doesn't hold it."""
        place = self._place(cursor)
        return None if place is None else self._first + len(self._frames) - place

    def append(self, frames: list[Frame]) -> None:
        """Add frames at the head, and drop the oldest beyond the limits."""
        self._chunks.clear()
        self._head_was = (self.head, self._first + len(self._frames))
        self._frames += frames
        self._bytes += sum([len(frame.body) for frame in frames])
        self.head = frames[-1].entry.id
        while len(self._frames) > self._limits.entries or self._bytes > self._limits.bytes:
            self._drop_oldest()

    def after(self, cursor: str, most: int) -> list[Frame] | None:
        """The frames behind `cursor`, up to about `most` bytes; None if the window doesn't hold it."""
        start = self._place(cursor)
        if start is None:
            return None
        if start == self._first + len(self._frames) - 1:
            return [self._frames[-1]]  # whoever keeps up asks from here
        frames: list[Frame] = []
        size = 0
        for place in range(start - self._first, len(self._frames)):
            frame = self._frames[place]
            size += len(frame.body)
            if frames and size > most:
                break
            frames.append(frame)
        return frames

    def chunk(self, cursor: str, default_name: str, most: int) -> Chunk | None:
        """What `after` gives, joined; made once for all readers that are at the same cursor."""
        key = (cursor, default_name, most)
        chunk = self._chunks.get(key)
        if chunk is None:
            frames = self.after(cursor, most)
            if frames is None:
                return None
            if len(self._chunks) >= _CHUNKS:
                self._chunks.clear()
            chunk = self._chunks[key] = self._join(frames, cursor, default_name)
        return chunk

    def _join(self, frames: list[Frame], cursor: str, default_name: str) -> Chunk:
        if not frames:
            return Chunk(b"", cursor, False, False)
        name = encode_name(default_name) if default_name else b""
        data = b"".join([frame.encode(frame.entry.id, name) for frame in frames])
        last = frames[-1]
        return Chunk(data, last.entry.id, last.ends, last is not self._frames[-1])

    def _place(self, cursor: str) -> int | None:
        newest = self._first + len(self._frames)
        if cursor == self.head:
            return newest
        if cursor == self._head_was[0] and self._head_was[1] >= self._first:
            return self._head_was[1]
        if self._noted < newest:
            if self._noted < self._first:
                self._places[self._start] = self._noted = self._first
            for frame in islice(self._frames, self._noted - self._first, None):
                self._noted += 1
                self._places[frame.entry.id] = self._noted
        return self._places.get(cursor)

    def _drop_oldest(self) -> None:
        dropped = self._frames.popleft()
        self._bytes -= len(dropped.body)
        # After a gap an id may come again, further on: that place stays.
        if self._places.get(self._start) == self._first:
            del self._places[self._start]
        self._start = dropped.entry.id
        self._first += 1
