"""What a soak does when. Everybody works it out alone, from the seed and the time, so that all meet.

Two kinds of streams. The *busy* ones everybody appends to all the time, and they are trimmed. Of the *brief*
ones a new one comes every tenth of a second: watchers add it just when somebody appends to it, so that a bell
that is lost is not made good by the next. Every other one somebody ends a second later, while others append.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

SECOND: Final = 1_000_000_000
SLOT: Final = SECOND // 10
"""Nanoseconds from one brief stream to the next."""
LIFE: Final = 10
"""Slots after which a brief stream is ended, if it is; some try to append to it in the next one, too."""
BUSY: Final = ("busy 0", "busy 1", "busy 2")
SHARED: Final = BUSY[0]
"""The stream on which all use the same keys."""
CLOSE: Final = SLOT // 20
"""Nanoseconds within which those who meet come."""


def brief(slot: int) -> str:
    """The stream that is new in this slot."""
    return f"brief {slot}"


@dataclass(frozen=True, order=True, slots=True)
class Deed:
    """What is due at a time: "append" or "end" a brief stream, or "share" a key."""

    at: int
    what: str
    slot: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """A soak.

    began:  its beginning, by `time.monotonic_ns`.
    writers: how many threads write at a time; each has a place among them.
    """

    seed: int
    seconds: float
    began: int
    writers: int
    rings_within: float

    @property
    def slots(self) -> int:
        """How many brief streams there are."""
        return self.over // SLOT

    @property
    def over(self) -> int:
        """When the writers stop."""
        return int(self.seconds * SECOND)

    @property
    def streams(self) -> list[str]:
        return [*BUSY, *map(brief, range(self.slots))]

    def deeds(self, place: int, since: int) -> Iterator[Deed]:
        """What the writer at this place does from a time on, in order."""
        for slot in range(max(0, since // SLOT), self.over // SLOT):
            yield from sorted(deed for deed in self._in(slot, place) if deed.at >= since)

    def adds(self, watcher: int) -> Iterator[Deed]:
        """When a watcher adds the brief streams."""
        for slot in range(self.slots):
            chance = self._chance("watcher", watcher, slot)
            yield Deed(_about(slot * SLOT + 2 * CLOSE, chance), "add", slot)

    def _in(self, slot: int, place: int) -> Iterator[Deed]:
        chance = self._chance("writer", place, slot)
        common = self._chance("all", 0, slot)
        yield Deed(_about(slot * SLOT + SLOT // 2, chance, CLOSE // 10), "share", slot)
        if place in common.sample(range(self.writers), min(common.randint(1, 2), self.writers)):
            yield Deed(_about(slot * SLOT + 2 * CLOSE, chance), "append", slot)
        if (old := slot - LIFE) >= 0 and old % 2 == 0:
            ends = place == common.randrange(self.writers)
            what = "end" if ends else "append"
            yield Deed(_about(slot * SLOT + SLOT * 3 // 4, chance, CLOSE // 3), what, old)
        elif old >= 0 and place == common.randrange(self.writers):
            yield Deed(_about(slot * SLOT + SLOT // 4, chance), "append", old - 1)

    def _chance(self, who: str, place: int, slot: int) -> random.Random:
        return random.Random(f"{self.seed} {who} {place} {slot}")


def _about(time: int, chance: random.Random, within: int = CLOSE) -> int:
    return time + chance.randint(-within, within)
