"""A position in some streams, and what lies after it: what connections and subscriptions share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from copy import copy
from typing import Final, Self

from ..events import is_internal
from ..ids import OLDEST, UNPLACEABLE
from ..observers import GapCause
from .floors import Bounds
from .frames import Frame, Moment, gap_frame, shown
from .hub import Hub, WindowStart
from .window import Wake

SLICE: Final = 256 * 1024
"""About how many bytes are taken at once, so that a long replay leaves others their turn."""

FIRST_SLICE: Final = 32 * 1024
"""About how many are read from the log at first: as many are held for a client that takes none of them."""


class Reader:
    """Holds no events but a page's, only its position. For one thread at a time, but for `wake`.

    Made by `open`, as a rule, which asks the log; it is attached to nothing then.

    position: stream id -> cursor.
    reading:  the streams whose end hasn't been passed.
    backlog:  frames that have been read; to be passed before any others.
    level:    whether nothing lies between the backlog and what windows will hold, as far as is known:
              then it is time to `attach`. Until then the log is to be read.
    lagging:  after `due`, the streams whose windows don't hold the cursor.
    attached: whether the hub wakes it.
    taken:    streams that were taken from it: they only stand in ids.
    came:     when it was opened: it is shown no event that was over by then.
    slice_bytes: about how many bytes are read from the log next. Twice as many each time, up to `SLICE`;
              whoever hands them on starts again where they aren't taken.
    """

    __slots__ = (
        "_starts",
        "_wake",
        "attached",
        "backlog",
        "came",
        "hub",
        "lagging",
        "level",
        "position",
        "reading",
        "slice_bytes",
        "taken",
    )

    def __init__(self, hub: Hub, position: Mapping[str, str]) -> None:
        self.hub: Hub = hub
        self.came: Moment = Moment.now()
        self.position: dict[str, str] = dict(position)
        self.reading: set[str] = set(position)
        self.taken: frozenset[str] = frozenset()
        self.backlog: list[Frame] = []
        self.level: bool = True
        self.lagging: list[str] = []
        self._starts: dict[str, WindowStart] = {}
        self.attached: bool = False
        self.slice_bytes: int = FIRST_SLICE
        self._wake: Wake | None = None

    @classmethod
    def open(cls, hub: Hub, wanted: Mapping[str, str | None], bounds: Bounds | None = None) -> Self:
        """A reader of these streams.

        wanted: stream id -> the cursor to go on after, or None for "from now on".
        bounds: how far back it may read; what lies further back is a gap to it.

        Where the hub's windows hold the cursors, the log isn't asked; else for the tails at once, and
        at once for a first page of the other streams. Blocks; raises BrokerUnavailable.
        """
        tails = hub.log.tail([name for name, cursor in wanted.items() if cursor is None])
        position = {name: tails[name] if after is None else after for name, after in wanted.items()}
        within = bounds or {}
        withheld = {name: position[name] for name in within if not within[name].admits(position[name])}
        reader = cls(hub, position | {name: within[name].start for name in withheld})
        reader._resume([name for name, after in wanted.items() if after is not None], within)
        reader._withhold(withheld, within)
        if tails or within:
            reader._doubt_windows({*tails, *within})
        return reader

    def attach(self, wake: Wake) -> None:
        """Have the hub call `wake` when there may be more. Raises Closed."""
        starts = self.starts()
        self._starts = {}
        self.hub.attach(starts, wake)
        self._wake = wake
        self.attached = True

    def starts(self) -> dict[str, WindowStart]:
        """Where the windows of its streams begin, if nobody has read them yet."""
        heads = self._heads()
        return {name: self._starts.get(name) or WindowStart(heads[name], []) for name in self.reading}

    def _heads(self) -> dict[str, str]:
        """Where it is in each stream once the backlog has been passed."""
        return self.position | {frame.entry.stream_id: frame.entry.id for frame in self.backlog}

    def detach(self) -> None:
        """Undo `attach`. Detaching twice does nothing."""
        if self._wake is not None:
            self.hub.detach(self.position, self._wake)
            self._wake = None
            self.attached = False

    def due(self) -> list[Frame]:
        """What the windows hold, about `SLICE` bytes at most. Never blocks. Sets `lagging`."""
        self.lagging = []
        found: list[Frame] = []
        for name in self.position:
            if name in self.reading:
                frames = self.hub.frames(name, self.position[name], SLICE // len(self.position))
                if frames is None:
                    self.lagging.append(name)
                else:
                    found += shown(frames, self.came)
        return found

    def read_lagging(self) -> list[Frame]:
        """About `slice_bytes` of the lagging streams, from the log. Blocks; raises BrokerUnavailable."""
        frames = self._read(self.lagging)
        self.slice_bytes = min(2 * self.slice_bytes, SLICE)
        return frames

    def passed(self, frame: Frame) -> None:
        """Move on after this frame."""
        self.position[frame.entry.stream_id] = frame.entry.id
        if frame.ends:
            self.reading.discard(frame.entry.stream_id)

    @property
    def is_behind(self) -> bool:
        """Whether anything is known to lie between its position and what comes from now on."""
        return bool(self.backlog) or not self.level or bool(self.entries_behind())

    def leave_out(self, names: Collection[str]) -> None:
        """Read these no more, and hand out nothing of them that has been read."""
        self.taken |= self.reading.intersection(names)
        self.reading.difference_update(names)
        self.backlog = [frame for frame in self.backlog if frame.entry.stream_id not in names]
        self.lagging = [name for name in self.lagging if name not in names]
        if self._wake is not None:
            self.hub.detach(names, self._wake)

    def go_back_to(self, mark: Reader) -> None:
        """Be where a fork was made."""
        self.position = dict(mark.position)
        self.reading = set(mark.reading)
        self.backlog = list(mark.backlog)
        self.lagging = []
        self.level = False

    def entries_behind(self) -> int | None:
        """How many entries it is behind what the hub has read; None if more than windows hold."""
        behind = 0
        for name in self.reading:
            distance = self.hub.distance(name, self.position[name])
            if distance is None:
                return None
            behind += distance
        return behind

    def is_at(self, other: Reader) -> bool:
        """Whether both are at the same position in the same streams."""
        return self.position == other.position and self.reading == other.reading

    def fork(self) -> Self:
        """Another reader at the same position. It is attached to nothing."""
        twin = copy(self)
        twin.position = dict(self.position)
        twin.reading = set(self.reading)
        twin.backlog = list(self.backlog)
        twin.lagging = []
        twin._starts = {}
        twin.level = twin.attached = False
        twin._wake = None
        twin.slice_bytes = FIRST_SLICE
        return twin

    def _resume(self, names: Iterable[str], bounds: Bounds) -> None:
        """See what lies after the cursors that were given: in the windows, or else in the log.

        For bounded streams in the log: a window may reach back into a history that was lost.
        """
        unknown: list[str] = []
        for name in names:
            if self.hub.is_at_the_end(name, self.position[name]):
                self.reading.discard(name)
            elif name in bounds or self.hub.distance(name, self.position[name]) is None:
                unknown.append(name)
        self.hub.lookups.missed(sum(not is_internal(name) for name in unknown))
        self.backlog = self._read(unknown)
        for frame in self.backlog:
            if frame.gap is not None and not frame.gap.placed:
                # What a client gave as its cursor may be anything at all: it must not be passed on. Until
                # it has been told of the gap, it comes back to one.
                self.position[frame.entry.stream_id] = UNPLACEABLE

    def _withhold(self, withheld: Mapping[str, str], bounds: Bounds) -> None:
        """Put a gap where a bound keeps a stream's reader from going on after its cursor.

        withheld: those for which that is known before they were read, and their cursors.
        """
        cursors = dict(withheld)
        for frame in self.backlog:
            name, gap = frame.entry.stream_id, frame.gap
            if gap is not None and not gap.placed and name in bounds and not bounds[name].admits(gap.goes_on):
                cursors[name] = gap.cursor
        found = [
            frame
            for frame in self.backlog
            if frame.gap is None or frame.gap.placed or frame.entry.stream_id not in cursors
        ]
        gaps: list[Frame] = []
        for name, cursor in cursors.items():
            told = gap_frame(name, cursor, bounds[name].start, GapCause.WITHHELD, placed=False)
            self.hub.log.tell(told)
            gaps.append(told)
            self.position[name] = UNPLACEABLE
        self.backlog = gaps + found

    def _doubt_windows(self, names: Iterable[str]) -> None:
        """See that windows go on as the log does, where it was just asked: it may have lost or forgotten what
        they hold after the same cursor."""
        heads = self._heads()
        doubtful = [name for name in names if name in self.reading and self.hub.distance(name, heads[name])]
        if doubtful:
            self.hub.refresh(doubtful)

    def _read(self, names: Iterable[str]) -> list[Frame]:
        given = {name: self.position[name] for name in names}
        found: list[Frame] = []
        self.level = True
        for name, (frames, page) in self.hub.log.read(given, self.slice_bytes).items():
            for frame in frames[-1:]:
                self.hub.log.tell(frame)  # the hub may be elsewhere, and not meet it
            found += shown(frames, self.came)
            more = page.more or page.gap
            self.level = self.level and not more
            if not frames:
                self.position[name] = page.cursor
                if page.ended:
                    self.reading.discard(name)
            if not (self.attached or more or given[name] == OLDEST):
                self._starts[name] = WindowStart(given[name], frames)
        return found
