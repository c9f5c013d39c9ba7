"""How far back a client may read, whatever cursor it brings.

A cursor that the log can place says which entries are newer: those with a higher number. So does one that is
of the log's epoch and older than all that is left. Of any other cursor nothing is known, as after a failover
to another history: then a client goes on from now on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Self

from ..ids import OLDEST, UNPLACEABLE, epoch_of, is_joint, sequence_of, split_cursor
from ..starts import Beginning, Floor, Now, Start
from .earlier import cursors_of, wanted_of
from .frames import Frame
from .log import Log


class Bound(NamedTuple):
    """How far back one stream may be read.

    start: where a client begins whose own cursor lies further back, or can't be placed.
    epoch, sequence: cursors of this epoch may be gone on after, from this number on; None: only `start`.
    """

    start: str
    epoch: str | None = None
    sequence: int = 0

    @classmethod
    def at(cls, cursor: str) -> Self:
        """The one at this cursor, which the log can place."""
        return cls(cursor, epoch_of(cursor), sequence_of(cursor) or 0)

    def admits(self, cursor: str) -> bool:
        """Whether what lies after this cursor may be read, if the log can place it."""
        if cursor == self.start:
            return True
        number = sequence_of(cursor)
        return number is not None and epoch_of(cursor) == self.epoch and number >= self.sequence


Bounds = Mapping[str, Bound]
"""By stream id."""


class Wanted(NamedTuple):
    """Where a client goes on: stream id -> cursor, None for "from now on"; and how far back it may."""

    cursors: Mapping[str, str | None]
    bounds: Bounds


def wanted_within(
    log: Log, names: list[str], cursor: str | None, start: Start | None, floor: Floor | None
) -> Wanted:
    """As `wanted_of`, and how far back a client may read.

    floor: no further than this; None: as far as entries are kept.

    Asks the log where start and floor need it: raises BrokerUnavailable then, and ConfigError.
    """
    if floor is None:
        return Wanted(wanted_of(log, names, cursor, start), {})
    bounds = _bounds_of(log, names, floor)
    wanted: dict[str, str | None] = dict(split_cursor(cursor, names)) if cursor is not None else {}
    begun = wanted_of(log, [name for name in names if name not in wanted], None, start)
    for name, after in begun.items():
        bound = bounds.get(name)
        # "What is still kept" promises no more than that: what the floor withholds of it is no gap.
        if after is not None and bound is not None and not (_is_owed(start) or bound.admits(after)):
            after = bound.start
        wanted[name] = after
    return Wanted({name: wanted[name] for name in names}, bounds)


def leads_back(cursor: str, goes_on: str) -> bool:
    """Whether a gap may lead further back than this cursor, as far as the two ids tell."""
    before, after = sequence_of(cursor), sequence_of(goes_on)
    if before is None or after is None or epoch_of(cursor) != epoch_of(goes_on):
        return True
    return after < before


def _is_owed(start: Start | None) -> bool:
    """Whether what isn't given of what lies after this start is a gap."""
    return isinstance(start, Beginning) or (isinstance(start, str) and start != OLDEST)


def _bounds_of(log: Log, names: list[str], floor: Floor) -> dict[str, Bound]:
    if isinstance(floor, str):
        return _after(log, names, floor)
    starts = dict(log.tail(names) if isinstance(floor, Now) else cursors_of(log, names, floor))
    starts.update(_oldest(log, [name for name, start in starts.items() if start == OLDEST]))
    return {name: Bound.at(start) for name, start in starts.items()}


def _after(log: Log, names: list[str], floor: str) -> dict[str, Bound]:
    """Those of a cursor, which may be old: what it names may be trimmed by now, or lost."""
    if floor == OLDEST:
        return {name: Bound.at(oldest) for name, oldest in _oldest(log, names).items()}
    cursors = split_cursor(floor, names)
    speaks_of_each = len(names) == 1 or is_joint(floor)
    goes_on = {name: _goes_on(frames) for name, (frames, _) in log.read(cursors, 1, 1).items()}
    bounds: dict[str, Bound] = {}
    lost: list[str] = []
    for name in names:
        after = goes_on.get(name)
        if name in cursors and after is None:
            bounds[name] = Bound.at(cursors[name])
        elif after is None or not speaks_of_each or leads_back(cursors[name], after):
            lost.append(name)
        else:
            bounds[name] = Bound.at(after)
    return bounds | {name: Bound(now) for name, now in log.tail(lost).items()}


def _oldest(log: Log, names: list[str]) -> dict[str, str]:
    """The cursor before the oldest entry that is kept of each stream: windows may hold older ones."""
    parts = log.read(dict.fromkeys(names, UNPLACEABLE), 1, 1)
    return {name: page.cursor for name, (_, page) in parts.items()}


def _goes_on(frames: list[Frame]) -> str | None:
    """Where a log goes on that couldn't place the cursor; None if it could."""
    gap = frames[0].gap if frames else None
    return None if gap is None or gap.placed else gap.goes_on
