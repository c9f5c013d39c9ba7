"""The newest frames of one stream, encoded once and shared by all its readers: a cache of its log.

A reader holds no queue, only a cursor. While the cursor lies in the window its reader is served
from here; when it lies elsewhere (the reader lags, or has just come back) the log is read instead.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from .frames import Frame, Framing
from .traces import Handover

_CHUNKS: Final = 16

Wake = Callable[[], None]
"""Called, from the hub's thread, when a reader's streams may have grown. Must not block or raise."""


@dataclass(frozen=True, slots=True)
class WindowLimits:
    """How much of a stream's newest part is kept encoded in this process."""

    entries: int = 1_000
    bytes: int = 1 * 2**20


class Chunk(NamedTuple):
    """Consecutive frames joined for one stream's readers.

    more:  there are further ones.
    until: it is right for those who came before this moment, in seconds since 1970.
    gaps:  whether there are gaps among them.
    events: how many are neither gap nor end.
    handovers: to be called when it has been handed to a client.
    """

    data: bytes
    cursor: str
    ends: bool
    more: bool
    until: float
    gaps: bool = False
    events: int = 0
    handovers: Sequence[Handover] = ()


class Window:
    """See the module. Not locked: the hub does that.

    cursor: where the window begins; frames are appended after it.

    Its attribute `head` is the cursor after the newest frame.
    """

    __slots__ = (
        "_bytes",
        "_chunks",
        "_counted",
        "_counts",
        "_dropped",
        "_frames",
        "_head_was",
        "_limits",
        "_start",
        "head",
    )

    def __init__(self, cursor: str, limits: WindowLimits) -> None:
        self._limits = limits
        self.head: str = cursor
        self._start = cursor  # the cursor before the oldest frame
        self._frames: deque[Frame] = deque()
        self._dropped = 0  # how many frames there were before the oldest
        # How many frames, of all there ever were, lie at or before a cursor. Those who keep up ask from the
        # head, or from where it was: other cursors are counted when somebody asks for one.
        self._head_was = (cursor, 0)
        self._counts: dict[str, int] = {}
        self._counted = -1  # up to which frame
        self._bytes = 0
        self._chunks: dict[tuple[str, Framing, int], Chunk] = {}

    @property
    def ended(self) -> bool:
        """Whether the newest frame is the stream's end."""
        return bool(self._frames) and self._frames[-1].ends

    def distance(self, cursor: str) -> int | None:
        """How many frames lie after `cursor`; None if the window doesn't hold it."""
        count = self._count_up_to(cursor)
        return None if count is None else self._dropped + len(self._frames) - count

    def append(self, frames: list[Frame]) -> None:
        """Add frames at the head, and drop the oldest beyond the limits."""
        self._chunks.clear()
        self._head_was = (self.head, self._dropped + len(self._frames))
        self._frames += frames
        self._bytes += sum([len(frame.body) for frame in frames])
        self.head = frames[-1].entry.id
        while len(self._frames) > self._limits.entries or self._bytes > self._limits.bytes:
            self._drop_oldest()

    def after(self, cursor: str, max_bytes: int) -> list[Frame] | None:
        """The frames after `cursor`, up to about `max_bytes`; None if the window doesn't hold it."""
        count = self._count_up_to(cursor)
        if count is None:
            return None
        if count == self._dropped + len(self._frames) - 1:
            return [self._frames[-1]]  # whoever keeps up asks from here
        frames: list[Frame] = []
        size = 0
        for index in range(count - self._dropped, len(self._frames)):
            frame = self._frames[index]
            size += len(frame.body)
            if frames and size > max_bytes:
                break
            frames.append(frame)
        return frames

    def chunk(self, cursor: str, framing: Framing, max_bytes: int) -> Chunk | None:
        """What `after` gives, joined; made once for all readers that are at the same cursor."""
        key = (cursor, framing, max_bytes)
        chunk = self._chunks.get(key)
        if chunk is None:
            frames = self.after(cursor, max_bytes)
            if frames is None:
                return None
            if len(self._chunks) >= _CHUNKS:
                self._chunks.clear()
            chunk = self._chunks[key] = self._join(frames, cursor, framing)
        return chunk

    def _join(self, frames: list[Frame], cursor: str, framing: Framing) -> Chunk:
        if not frames:
            return Chunk(b"", cursor, False, False, math.inf)
        data = b"".join([frame.encode(frame.entry.id, framing, last=frame.ends) for frame in frames])
        last = frames[-1]
        expiring = [frame.until for frame in frames if frame.until is not None]
        until = min(expiring) if expiring else math.inf
        gaps = sum([frame.gap is not None for frame in frames])
        more = last is not self._frames[-1]
        handovers = [frame.handover for frame in frames if frame.handover is not None]
        events = len(frames) - gaps - last.ends
        return Chunk(data, last.entry.id, last.ends, more, until, gaps > 0, events, handovers)

    def _count_up_to(self, cursor: str) -> int | None:
        newest = self._dropped + len(self._frames)
        if cursor == self.head:
            return newest
        if cursor == self._head_was[0] and self._head_was[1] >= self._dropped:
            return self._head_was[1]
        if self._counted < newest:
            if self._counted < self._dropped:
                self._counts[self._start] = self._counted = self._dropped
            for frame in islice(self._frames, self._counted - self._dropped, None):
                self._counted += 1
                self._counts[frame.entry.id] = self._counted
        return self._counts.get(cursor)

    def _drop_oldest(self) -> None:
        dropped = self._frames.popleft()
        self._bytes -= len(dropped.body)
        # After a gap an id may come again, further on: that count stays.
        if self._counts.get(self._start) == self._dropped:
            del self._counts[self._start]
        self._start = dropped.entry.id
        self._dropped += 1


class Feed:
    """A stream that is being read: its window, and whom to wake. Not locked: the hub does that.

    Most streams of an app may be idle, and read by one client each: so what is empty takes no room.
    """

    __slots__ = ("_limits", "_others", "_reader", "_start", "_window")

    def __init__(self, cursor: str, limits: WindowLimits) -> None:
        self._start = cursor
        self._limits = limits
        self._window: Window | None = None
        self._reader: Wake | None = None
        self._others: set[Wake] | None = None

    @property
    def window(self) -> Window:
        """To look at: it is kept from its first frames on."""
        return self._window or Window(self._start, self._limits)

    def append(self, frames: list[Frame]) -> None:
        """Add frames to the window."""
        self._window = self.window
        self._window.append(frames)

    @property
    def readers(self) -> Collection[Wake]:
        """Whom to wake."""
        first = () if self._reader is None else (self._reader,)
        return (*first, *self._others) if self._others else first

    def add(self, wake: Wake) -> None:
        """A reader has come. Adding it twice does nothing."""
        if self._reader is None:
            self._reader = wake
        elif self._reader != wake:
            self._others = self._others or set()
            self._others.add(wake)

    def discard(self, wake: Wake) -> None:
        """It is gone."""
        if self._others:
            self._others.discard(wake)
        if self._reader == wake:
            self._reader = None


class Lookups:
    """Looks into windows, and counts how often they held what lies after a cursor. The hub locks it.

    hits: how often they did, and something lay there. Nobody is told of looks at a window's end.
    """

    def __init__(self) -> None:
        self.hits: int = 0
        self._misses = 0
        self._unasked = 0
        self._lock = threading.Lock()

    @property
    def misses(self) -> int:
        """How often the log had to be read instead. Any thread."""
        return self._misses + self._unasked

    def missed(self, count: int) -> None:
        """So many streams are read from the log at once: no window holds their cursors. Any thread."""
        with self._lock:
            self._unasked += count

    def chunk(self, feed: Feed | None, cursor: str, framing: Framing, max_bytes: int) -> Chunk | None:
        """As `Window.chunk`."""
        found = feed.window.chunk(cursor, framing, max_bytes) if feed else None
        if found is None:
            self._misses += 1
        elif found.data:
            self.hits += 1
        return found

    def frames(
        self, feed: Feed | None, cursor: str, max_bytes: int, *, counted: bool = True
    ) -> list[Frame] | None:
        """As `Window.after`."""
        found = feed.window.after(cursor, max_bytes) if feed else None
        if not counted:
            return found
        if found is None:
            self._misses += 1
        elif found:
            self.hits += 1
        return found
