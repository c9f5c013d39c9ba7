"""A place in each of some streams, and what lies behind it: what connections and subscriptions share."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Final, Self

from ..ids import OLDEST
from .hub import PAGE, Hub, Wake
from .window import Frame, frames_of

SLICE: Final = 256 * 1024
"""About how many bytes are taken at once, so that a long replay leaves others their turn."""


class Reader:
    """Holds no events, only its places. For one thread at a time, but for `wake`.

    wanted: stream id -> the cursor to go on from, or None for "from now on".

    Making one asks the log for the tails, and for the first page behind the given cursors; it
    attaches nothing. Raises BrokerUnavailable.

    places:  stream id -> cursor.
    reading: the streams whose end hasn't been passed.
    backlog: the frames of that first page; to be passed before any others.
    lost:    whether there is a gap in the backlog, so that no cursor stands for the place before it.
    lagging: after `due`, the streams whose windows don't hold the place.
    """

    __slots__ = ("_wake", "backlog", "hub", "lagging", "lost", "places", "reading")

    def __init__(self, hub: Hub, wanted: Mapping[str, str | None]) -> None:
        self.hub = hub
        self.reading = set(wanted)
        self.backlog: list[Frame] = []
        self.lost = False
        self.lagging: list[str] = []
        self._wake: Wake | None = None
        tails = hub.broker.tail([name for name, cursor in wanted.items() if cursor is None])
        self.places = {name: tails[name] if cursor is None else cursor for name, cursor in wanted.items()}
        self._resume({name: cursor for name, cursor in wanted.items() if cursor is not None})

    def attach(self, wake: Wake) -> None:
        """Have the hub call `wake` when there may be more. Raises Closed."""
        self._wake = wake
        self.hub.attach({name: self.places[name] for name in self.reading}, wake)

    def detach(self) -> None:
        """Undo `attach`. Detaching twice does nothing."""
        if self._wake is not None:
            self.hub.detach(self.places, self._wake)
            self._wake = None

    def due(self) -> list[Frame]:
        """What the windows hold, about `SLICE` bytes at most. Never blocks. Sets `lagging`."""
        self.lagging = []
        found: list[Frame] = []
        for name in self.places:
            if name in self.reading:
                frames = self.hub.frames(name, self.places[name], SLICE // len(self.places))
                if frames is None:
                    self.lagging.append(name)
                else:
                    found += frames
        return found

    def read_lagging(self) -> list[Frame]:
        """A page of each lagging stream, from the log. Blocks; raises BrokerUnavailable."""
        pages = self.hub.read({name: self.places[name] for name in self.lagging})
        found = [frame for name in self.lagging for frame in pages[name]]
        for frame in found:
            self.hub.notice(frame)  # the hub may be elsewhere, and not meet it
        return found

    def passed(self, frame: Frame) -> None:
        """Move on behind this frame."""
        self.places[frame.entry.stream_id] = frame.entry.id
        if frame.ends:
            self.reading.discard(frame.entry.stream_id)

    def entries_behind(self) -> int | None:
        """How many entries it is behind what the hub has read; None if more than windows hold."""
        behind = 0
        for name in self.reading:
            distance = self.hub.distance(name, self.places[name])
            if distance is None:
                return None
            behind += distance
        return behind

    def fork(self) -> Self:
        """Another reader at the same place. It is attached to nothing."""
        twin = copy(self)
        twin.places = dict(self.places)
        twin.reading = set(self.reading)
        twin.lagging = []
        twin._wake = None
        return twin

    def _resume(self, given: Mapping[str, str]) -> None:
        pages = self.hub.broker.read(given, PAGE) if given else {}
        for name, page in pages.items():
            frames = frames_of(name, given[name], page)
            # Gaps come first, so that nothing that follows says that they have been told.
            self.backlog = frames + self.backlog if page.gap else self.backlog + frames
            if given[name] == OLDEST and not frames:
                self.places[name] = page.cursor
            if page.gap:
                self.hub.notice(frames[0])
                # What a client gave as its place may be anything at all: it must not be passed on.
                self.lost = True
                self.places[name] = page.cursor
            elif page.ended and not frames:
                self.reading.discard(name)
