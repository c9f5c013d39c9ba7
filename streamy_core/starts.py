"""Where a client begins that brings no cursor of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from .errors import InvalidCursor
from .exact import exact_text, exact_whole


@dataclass(frozen=True, slots=True)
class Last:
    """With the newest `count` entries, and then what comes. Raises InvalidCursor unless it is 1 or more."""

    count: int

    def __post_init__(self) -> None:
        whole = exact_whole(self.count)
        if whole is None or whole < 1:
            raise InvalidCursor(f"Last takes a whole number of entries, 1 or more, not {self.count!r:.100}")
        object.__setattr__(self, "count", whole)


@dataclass(frozen=True, slots=True)
class Since:
    """With what was published within so many seconds, and then what comes.

    It goes by the times that the backend keeps: as exact as the clocks of those who publish to a database,
    or that of a Redis server. Raises InvalidCursor for what is no number above 0.
    """

    seconds: float

    def __post_init__(self) -> None:
        given: object = self.seconds
        number = isinstance(given, int | float) and not isinstance(given, bool)
        if not number or not 0 < self.seconds < math.inf:
            raise InvalidCursor(f"Since takes a number of seconds above 0, not {given!r:.100}")


@dataclass(frozen=True, slots=True)
class Beginning:
    """With a stream's first entry. Where that isn't kept any more, the client is told of a gap."""


BEGINNING: Final = Beginning()
"""From a stream's first entry on: as `OLDEST`, but what has been trimmed is told as a gap."""

Start = str | Last | Since | Beginning
"""A cursor, or one of these."""


@dataclass(frozen=True, slots=True)
class Now:
    """From now on."""


NOW: Final = Now()
"""Only what is published from now on: see `floor` of `StreamManager.get_stream`."""

Floor = str | Last | Since | Now
"""How far back a client may read: no further than this cursor, or one of these."""


def check_start(start: object) -> Start:
    """The start; a cursor as a plain str. Raises InvalidCursor."""
    if isinstance(start, Last | Since | Beginning):
        return start
    return check_cursor(start, "after", ", OLDEST, BEGINNING, Last(50) or Since(600)")


def check_floor(floor: object) -> Floor:
    """The floor; a cursor as a plain str. Raises InvalidCursor."""
    if isinstance(floor, Last | Since | Now):
        return floor
    return check_cursor(floor, "floor", ", NOW, Last(50) or Since(600)")


def check_cursor(cursor: object, argument: str, others: str = "") -> str:
    """The cursor, as a plain str. What it says is the broker's to place. Raises InvalidCursor.

    argument: its name. others: what else it may be.
    """
    text = exact_text(cursor)
    if text is None:
        kinds = f"a cursor, as an entry's id and `cursor()` are{others}"
        raise InvalidCursor(f"{argument} is {kinds}, not {cursor!r:.100}")
    return text
