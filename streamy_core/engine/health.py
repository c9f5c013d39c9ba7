"""How a process is doing, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Part(StrEnum):
    """What may be wrong with a process."""

    BROKER = "broker"
    """It doesn't take what is appended, or takes its time."""
    HUB = "hub"
    """It can't read, or its thread doesn't come round."""
    BELL = "bell"
    """What was appended isn't heard of: the process is deaf."""
    LOOP = "loop"
    """The event loop of detached clients doesn't turn."""
    STARTING = "starting"
    """Nothing is known yet."""
    STOPPING = "stopping"
    """The process, or the manager, stops."""


class Trouble(NamedTuple):
    """Something that is wrong.

    seconds: for how long it has been.
    detail:  what an operator may want to know, with names and hosts: not for everybody.
    """

    what: Part
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """How reading, and delivering, is doing in this process.

    streams:      how many are being watched.
    clients:      how many are connected.
    failures:     how often the watch or a read failed, in all.
    last_failure: the newest of these, or None.
    failing:      whether the last try failed: events may be late.
    missed_bells: streams found grown by the regular look at all of them that no bell named within a second.
    damaged:      entries that could not be read, each of which was skipped by a gap.
    queued:       events of `send_soon` that wait to be published.
    dropped:      those that were not published, in all.
    failing_for:  for how many seconds reading has been failing; 0 where it isn't.
    wrong:        what is wrong now, as `/ready` says it: with the broker and its bells only once `/ready`,
                  `/live` or metrics have been asked for.
    bell_seconds: how long the canary's newest entry took through the broker and back; None: there is none.
    """

    streams: int = 0
    clients: int = 0
    failures: int = 0
    last_failure: str | None = None
    failing: bool = False
    missed_bells: int = 0
    damaged: int = 0
    queued: int = 0
    dropped: int = 0
    failing_for: float = 0.0
    wrong: tuple[str, ...] = ()
    bell_seconds: float | None = None
