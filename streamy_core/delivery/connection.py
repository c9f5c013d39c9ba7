"""One client, over one HTTP response, reading one or more streams: what every delivery shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..engine.hub import Hub
from ..engine.reader import SLICE, Reader
from ..engine.window import Frame, gap_frame
from ..events import GAP
from ..ids import join_cursors
from ..wire import encode_name, encode_opening


class Connection(Reader):
    """A reader whose frames go out as bytes.

    more:         after `take`, whether there may be more to take at once.
    default_name: the name for entries that were published without one.
    retry:        how long the client should wait before it reconnects, in milliseconds.

    Otherwise as Reader.
    """

    __slots__ = ("_opening", "default_name", "more")

    def __init__(self, hub: Hub, wanted: Mapping[str, str | None], *, default_name: str, retry: int) -> None:
        super().__init__(hub, wanted)
        # Readers take an event without a name for a "message" (WHATWG HTML section 9.2.6).
        self.default_name = "" if default_name == "message" else default_name
        self._opening = b""
        self.more = False
        if self.reading:
            place = None if self.lost else join_cursors(self.places)
            gaps = sum(frame.entry.event.name == GAP for frame in self.backlog)
            # Only the last gap has an id: it says that all of them have been told.
            untold = b"".join([frame.body for frame in self.backlog[: max(0, gaps - 1)]])
            rest = self._encode(self.backlog[max(0, gaps - 1) :])
            self._opening = encode_opening(place, retry) + untold + rest
        self.backlog = []

    @property
    def finished(self) -> bool:
        """Whether all its streams have ended, and the client has been told.

        True from the start if it came back although it had seen the end of them all.
        """
        return not self.reading and not self._opening

    def is_level_with(self, other: Connection) -> bool:
        """Whether both are at the same place in the same streams, with nothing else to send."""
        return not self._opening and self.places == other.places and self.reading == other.reading

    def take(self) -> bytes:
        """The next bytes that are due, as far as windows hold them, about `SLICE` at most.

        Never blocks. Empty if there is nothing; `lagging` then names the streams to `catch_up` with.
        """
        if self._opening:
            opening, self._opening = self._opening, b""
            self.more = True
            return opening
        if len(self.places) > 1:
            data = self._encode(self.due())
            self.more = bool(data)
            return data
        return self._take_joined()

    def catch_up(self) -> bytes:
        """The next bytes of the lagging streams, read from the log. Blocks; raises BrokerUnavailable."""
        self.more = True
        return self._encode(self.read_lagging())

    def fast_forward(self) -> bytes:
        """Leave out all but the newest entry of each stream, and say so by a gap.

        Reads the log to its end. Blocks; raises BrokerUnavailable.
        """
        data = b""
        for due in [self._newest(name) for name in self.places if name in self.reading]:
            if len(data) >= SLICE:
                break  # the other streams stay where they are: if that is far behind, they are next
            for frame in due:
                self.hub.notice(frame)
            data += self._encode(due)
        return data

    def _newest(self, name: str) -> list[Frame]:
        """The newest entry of a stream, its end, if it has one, and before them the gap that they leave."""
        start = before = place = self.places[name]
        newest: list[Frame] = []
        while frames := self.hub.read({name: place})[name]:
            for frame in frames:
                if not frame.ends:
                    before, newest = place, []
                newest.append(frame)
                place = frame.entry.id
        return newest if before == start else [gap_frame(name, start, before), *newest]

    def _take_joined(self) -> bytes:
        """As `due`, but bytes that are made once for all clients at this place of this one stream."""
        self.lagging = []
        if not self.reading:
            return b""
        (name,) = self.places
        chunk = self.hub.chunk(name, self.places[name], self.default_name, SLICE)
        if chunk is None:
            self.lagging = [name]
            return b""
        self.places[name] = chunk.cursor
        self.more = chunk.more
        if chunk.ends:
            self.reading.discard(name)
        return chunk.data

    def _encode(self, frames: Iterable[Frame]) -> bytes:
        """The bytes of these frames, up to about `SLICE`; what lies beyond is left where it is."""
        name = encode_name(self.default_name) if self.default_name else b""
        parts: list[bytes] = []
        size = 0
        for frame in frames:
            if parts and size + len(frame.body) > SLICE:
                break
            self.passed(frame)
            parts.append(frame.encode(join_cursors(self.places), name))
            size += len(parts[-1])
        return b"".join(parts)
