"""What a soak does when. Everybody works it out alone, from the seed and the time, so that all meet.

Two kinds of streams. The *busy* ones everybody appends to all the time, and they are trimmed. Of the *quiet*
ones a new one comes every tenth of a second: watchers add it just when somebody appends to it. After that
somebody appends to it so seldom that a bell that is lost is missed before the next one rings; but every third
one is ended after a second, while others append.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

SECOND: Final = 1_000_000_000
SLOT: Final = SECOND // 10
"""Nanoseconds from one quiet stream to the next."""
LIFE: Final = 10
"""Slots after which a quiet stream is ended, if it is; somebody tries to append in the next one, too."""
TIMES: Final = 5
"""How often one that isn't ended is appended to, after the beginning."""
BUSY: Final = ("busy 0", "busy 1", "busy 2")
SHARED: Final = BUSY[0]
"""The stream on which all use the same keys."""
CLOSE: Final = SLOT // 20
"""Nanoseconds within which those who meet come."""


def quiet(slot: int) -> str:
    """The stream that is new in this slot."""
    return f"quiet {slot}"


@dataclass(frozen=True, order=True, slots=True)
class Deed:
    """What is due at a time: "append" or "end" a quiet stream, or "share" a key."""

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
        """How many quiet streams there are."""
        return self.over // SLOT

    @property
    def pause(self) -> int:
        """Slots from one append to a quiet stream to the next: its bell has been heard by then."""
        return round((self.rings_within + 1.5) * SECOND) // SLOT

    @property
    def over(self) -> int:
        """When the writers stop."""
        return int(self.seconds * SECOND)

    @property
    def streams(self) -> list[str]:
        return [*BUSY, *map(quiet, range(self.slots))]

    def deeds(self, place: int, since: int) -> Iterator[Deed]:
        """What the writer at this place does from a time on, in order."""
        for slot in range(max(0, since // SLOT), self.over // SLOT):
            yield from sorted(deed for deed in self._in(slot, place) if deed.at >= since)

    def adds(self, watcher: int) -> Iterator[Deed]:
        """When a watcher adds the quiet streams."""
        for slot in range(self.slots):
            chance = self._chance("watcher", watcher, slot)
            yield Deed(_about(slot * SLOT + 2 * CLOSE, chance, CLOSE // 2), "add", slot)

    def _in(self, slot: int, place: int) -> Iterator[Deed]:
        chance = self._chance("writer", place, slot)
        common = self._chance("all", 0, slot)
        yield Deed(_about(slot * SLOT + SLOT // 2, chance, CLOSE // 10), "share", slot)
        if place in common.sample(range(self.writers), min(common.randint(1, 2), self.writers)):
            yield Deed(_about(slot * SLOT + 2 * CLOSE, chance, CLOSE // 2), "append", slot)
        chosen = place == common.randrange(self.writers)
        if (old := slot - LIFE) >= 0 and _is_ended(old):
            what = "end" if chosen else "append"
            yield Deed(_about(slot * SLOT + SLOT * 3 // 4, chance, CLOSE // 3), what, old)
        if old >= 1 and _is_ended(old - 1) and chosen:
            yield Deed(_about(slot * SLOT + SLOT // 4, chance), "append", old - 1)
        for old in range(slot - self.pause, max(-1, slot - self.pause * (TIMES + 1)), -self.pause):
            if place == common.randrange(self.writers) and not _is_ended(old):
                yield Deed(_about(slot * SLOT + SLOT // 4, chance), "append", old)

    def _chance(self, who: str, place: int, slot: int) -> random.Random:
        return random.Random(f"{self.seed} {who} {place} {slot}")


def _is_ended(slot: int) -> bool:
    return slot % 3 == 0


def _about(time: int, chance: random.Random, within: int = CLOSE) -> int:
    return time + chance.randint(-within, within)
