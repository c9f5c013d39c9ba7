"""What a run has yielded and its log doesn't have yet: pieces that come close together are one entry."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ..events import Event

_MOST: Final = 16 * 2**10
"""Characters of an entry that is put together, after which it goes out at once."""


@dataclass(frozen=True, slots=True)
class Coalesce:
    """How pieces are put together.

    seconds: how long the first piece of an entry may wait for others.
    join:    makes the data of one entry of a list of pieces; texts are joined by themselves, anything else
             goes out as it comes unless this is given. A thread of ours calls it, without an app context. If
             it raises, the run has failed, and what still waits isn't published.
    size:    characters of text, or pieces, at which an entry goes out at once.

    Raises ValueError.
    """

    seconds: float
    join: Callable[[list[Any]], Any] | None = None
    size: int = _MOST

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= 60:
            raise ValueError(f"coalesce is more than 0 seconds and at most 60, not {self.seconds!r}")
        if self.size < 1:
            raise ValueError(f"size is 1 or more, not {self.size!r}")


class Pieces:
    """Pieces of one name, which become one entry."""

    __slots__ = ("data", "name", "size")

    def __init__(self, name: str | None) -> None:
        self.name: str | None = name
        self.data: list[Any] = []
        self.size: int = 0


class Buffer:
    """See the module. Not locked: whoever owns it does that. Times are the caller's, in seconds.

    how:   how pieces are put together.
    event: makes the event of data and a name. What it raises is for `take`'s caller.
    most:  characters that one entry may have: pieces that are no longer by themselves make none that is.

    Its attribute `size` is how many characters wait, about; `due` when what waits is to go out.
    """

    def __init__(self, how: Coalesce, event: Callable[[Any, str | None], Event], most: int = _MOST) -> None:
        self._how = how
        self._most = most
        self._event = event
        self._waiting: list[Pieces | Event] = []
        self.size: int = 0
        self.due: float = math.inf

    def add(self, data: Any, name: str | None, size: int, now: float) -> None:
        """Add a piece. size: its characters."""
        pieces = self._waiting[-1] if self._waiting else None
        if not isinstance(pieces, Pieces) or pieces.name != name or pieces.size + size > self._most:
            if pieces is not None:
                self.due = now  # what came before goes out, and this with it
            pieces = Pieces(name)
            self._waiting.append(pieces)
            self.due = min(self.due, now + self._how.seconds)
        pieces.data.append(data)
        pieces.size += size
        self.size += size + 1
        if pieces.size >= min(self._how.size, self._most):
            self.due = now

    def add_event(self, event: Event, now: float) -> None:
        """Add what is an entry by itself. It goes out at once, after what waits."""
        self._waiting.append(event)
        self.size += len(event.data) + 1
        self.due = now

    def take(self) -> list[Event]:
        """All that waits, in order: nothing waits then."""
        waiting, self._waiting = self._waiting, []
        self.size, self.due = 0, math.inf
        return [found if isinstance(found, Event) else self._joined(found) for found in waiting]

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def _joined(self, pieces: Pieces) -> Event:
        join = self._how.join
        if join is not None:
            return self._event(join(pieces.data), pieces.name)
        return self._event("".join(pieces.data), pieces.name)
