"""A reader whose frames go out as bytes: what every delivery shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from ..ids import UNPLACEABLE, JointCursor, join_cursors
from ..observers import DisconnectReason, GapCause
from ..wire import encode_opening
from .floors import Bounds, leads_back
from .frames import Frame, Framing, Moment, gap_frame, shown
from .hub import Hub
from .reader import SLICE, Reader
from .traces import Handover


class ByteReader(Reader):
    """Reads for one client, or for a group of clients that are at the same position.

    more:         after `take`, whether there may be more to take at once.
    framing:      how frames go out.
    took:         how many events there are in the bytes that were given last.
    handovers:    to be called when those have been handed to a client.
    lost:         whether it has met a gap that may lead further back than its clients may read. They are
                  given nothing more, and have to come back, for how far that is in this history.

    Otherwise as Reader. Made by `open_for_client`.
    """

    __slots__ = ("_opening", "framing", "handovers", "lost", "more", "took")

    def __init__(self, hub: Hub, position: Mapping[str, str]) -> None:
        super().__init__(hub, position)
        self.framing: Framing = Framing()
        self.more: bool = False
        self.lost: bool = False
        self.took: int = 0
        self.handovers: Sequence[Handover] = ()
        self._opening = b""

    @classmethod
    def open_for_client(
        cls,
        hub: Hub,
        wanted: Mapping[str, str | None],
        bounds: Bounds | None = None,
        *,
        framing: Framing,
        retry: int,
        keep_alive: float | None = None,
        until: float | None = None,
    ) -> Self:
        """As `open`; its first bytes are the opening frame.

        retry: how long the client should wait before it reconnects, in milliseconds.
        keep_alive: after how many seconds at most something comes; None: nobody knows.
        until: in how many seconds its right to read ends; None: nobody says.
        """
        reader = cls.open(hub, wanted, bounds)
        reader.framing = framing
        if reader.reading or reader.backlog:
            reader._opening = encode_opening(join_cursors(reader.position), retry, keep_alive, until)
        return reader

    @classmethod
    def going_on(
        cls, hub: Hub, position: Mapping[str, str], reading: Iterable[str], *, framing: Framing
    ) -> Self:
        """One for clients that have been served up to this position, and were there for all that follows."""
        reader = cls(hub, position)
        reader.came = Moment(0.0, 0.0)
        reader.reading = set(reading)
        reader.framing = framing
        reader.level = False
        return reader

    @property
    def finished(self) -> bool:
        """Whether all its streams have ended, and the client has been told.

        True from the start if it came back although it had seen the end of them all.
        """
        return not (self.reading or self.backlog or self._opening)

    @property
    def over(self) -> DisconnectReason | None:
        """Why its clients are given nothing more, once there is a reason, and nothing left to `take`."""
        if self.lost:
            return DisconnectReason.HISTORY_LOST
        return DisconnectReason.ENDED if self.finished else None

    def is_at(self, other: Reader) -> bool:
        """Whether both are at the same position in the same streams, with nothing else to send."""
        return not (self._opening or self.backlog or other.backlog) and super().is_at(other)

    def take(self) -> bytes:
        """The next bytes that are due, as far as windows hold them, about `SLICE` at most.

        Never blocks. Empty if there is nothing; `lagging` then names the streams to `catch_up` with.
        """
        if self.lost:
            self.lagging, self.more = [], False
            return b""
        if self._opening:
            opening, self._opening = self._opening, b""
            self.more = True
            return opening + self._encode_backlog()
        if self.backlog:
            self.more = True
            return self._encode_backlog()
        if len(self.position) > 1:
            data = self._encode(self.due())
            self.more = bool(data)
            return data
        return self._take_chunk()

    def take_opening(self) -> bytes:
        """The opening frame alone, where `take` would give what lies back as well; later nothing."""
        opening, self._opening = self._opening, b""
        self.more = True
        return opening

    def catch_up(self) -> bytes:
        """The next bytes of the lagging streams, read from the log. Blocks; raises BrokerUnavailable."""
        self.more = True
        return self._encode(self.read_lagging())

    def catch_up_with_all(self) -> bytes:
        """As `catch_up`, of all streams, for a client that goes then: only the log can say it has all."""
        self.lagging: list[str] = list(self.reading)
        return self.catch_up()

    def skip_to_newest(self) -> bytes:
        """Leave out all but the newest entry of each stream, and say so by a gap.

        Reads the log to its end. Blocks; raises BrokerUnavailable.
        """
        data = b""
        took = 0
        handovers: list[Handover] = []
        for frames in [self._newest(name) for name in self.position if name in self.reading]:
            if len(data) >= SLICE:
                break  # the other streams stay where they are: if they lag far, they are next
            for frame in frames:
                self.hub.log.tell(frame)
            data += self._encode(frames)
            took += self.took
            handovers += self.handovers
        self.took, self.handovers = took, handovers
        return data

    def _newest(self, name: str) -> list[Frame]:
        """The newest entry of a stream, its end, if it has one, and before them the gap that they leave."""
        start = before = cursor = self.position[name]
        newest: list[Frame] = []
        while frames := self.hub.log.read({name: cursor}, SLICE)[name][0]:
            for frame in shown(frames, self.came):
                if not (frame.ends or frame.hidden):
                    before, newest = cursor, []
                if self._leads_back(frame):
                    self.lost = True
                    return []
                newest.append(frame)
                cursor = frame.entry.id
        return newest if before == start else [gap_frame(name, start, before, GapCause.SKIPPED), *newest]

    def _take_chunk(self) -> bytes:
        """As `due`, but bytes that are made once for all readers at this cursor of this one stream."""
        self.lagging = []
        if not self.reading:
            return b""
        (name,) = self.position
        chunk = self.hub.chunk(name, self.position[name], self.framing, SLICE)
        if chunk is None:
            self.lagging = [name]
            return b""
        if chunk.until <= self.came.wall or (chunk.gaps and self.framing.bounded):
            data = self._encode(self.due())
            self.more = bool(data)
            return data
        self.position[name] = chunk.cursor
        self.more = chunk.more
        self.took = chunk.events
        self.handovers = chunk.handovers
        if chunk.ends:
            self.reading.discard(name)
        return chunk.data

    def _leads_back(self, frame: Frame) -> bool:
        """Whether this is a gap that a bounded reader may not pass. Those that it was opened with, it may."""
        if frame.gap is None or not self.framing.bounded:
            return False
        position = self.position[frame.entry.stream_id]
        return position != UNPLACEABLE and leads_back(position, frame.gap.goes_on)

    def _encode_backlog(self) -> bytes:
        backlog = self.backlog
        self.backlog: list[Frame] = []
        return self._encode(backlog)

    def _encode(self, frames: Iterable[Frame]) -> bytes:
        """The bytes of these frames, up to about `SLICE`; the others are the backlog."""
        token = JointCursor(self.position) if len(self.position) > 1 else None
        parts: list[bytes] = []
        handovers: list[Handover] = []
        size = others = 0
        going_on = len(self.reading)
        for frame in frames:
            if self.backlog or (parts and size + len(frame.body) > SLICE):
                self.backlog.append(frame)
                continue
            if self._leads_back(frame):
                self.lost = True
                break
            self.passed(frame)
            if frame.gap is not None or frame.hidden:
                others += 1
            elif frame.handover is not None:
                handovers.append(frame.handover)
            cursor = frame.entry.id
            if token is not None:
                token.move(frame.entry.stream_id, cursor)
                cursor = str(token)
            parts.append(frame.encode(cursor, self.framing, last=not self.reading))
            size += len(parts[-1])
        self.took = len(parts) - others - (going_on - len(self.reading))
        self.handovers = handovers
        return b"".join(parts)
