"""How a run begins and ends, as its log tells it: its first entry, and its last.

Both have names of Streamy's own. Readers are shown neither: of the last, they are told by `streamy.end`.
"""

from __future__ import annotations

import json
import math
from enum import StrEnum
from typing import Any, NamedTuple

from ..events import END, RUN, Event


class RunOutcome(StrEnum):
    """What came of a run."""

    DONE = "done"
    """All that it was to yield is there."""
    STOPPED = "stopped"
    """It was stopped: by `stop_run`, or because nobody was reading. What it had yielded is there."""
    FAILED = "failed"
    """It raised an error."""
    LOST = "lost"
    """Its process was killed, or stopped before it was done, or could not be heard of in time."""


class RunEnd(NamedTuple):
    """How a run ended.

    error:      the text that readers are told, if it failed.
    resumed_on: the stream on which it goes on, if it was lost and another process does the rest.
    """

    outcome: RunOutcome
    error: str | None = None
    resumed_on: str | None = None

    def as_event(self) -> Event:
        """The last entry's event."""
        return Event(json.dumps(self.told()), END)

    def told(self) -> dict[str, str]:
        """What a reader is told of it."""
        told = {"outcome": self.outcome.value, "error": self.error, "resumed_on": self.resumed_on}
        return {name: text for name, text in told.items() if text is not None}


class RunStart(NamedTuple):
    """What the first entry says. token: of its starter alone. lease: in seconds. key: whom it belongs to."""

    token: str
    lease: float
    key: str | None = None

    def as_event(self) -> Event:
        """The first entry's event."""
        return Event(json.dumps(self._asdict()), RUN)


def end_of(event: Event) -> RunEnd | None:
    """How a run ended, by what may be its last entry; None for what is none."""
    given = _given(event, END)
    try:
        error, resumed_on = (
            None if (text := given.get(name)) is None else str(text) for name in ("error", "resumed_on")
        )
        return RunEnd(RunOutcome(given["outcome"]), error, resumed_on)
    except (AttributeError, KeyError, ValueError):
        return None


def start_of(event: Event) -> RunStart | None:
    """What a run's first entry says; None for what is none."""
    given = _given(event, RUN)
    try:
        key, lease = given["key"], float(given["lease"])
        if not 0 < lease < math.inf:
            return None
        return RunStart(str(given["token"]), lease, None if key is None else str(key))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def is_of_a_run(event: Event) -> bool:
    """Whether this is a run's first entry, or its last."""
    return start_of(event) is not None or end_of(event) is not None


def _given(event: Event, name: str) -> Any:
    if event.name != name:
        return {}
    try:
        given: Any = json.loads(event.data)
    except (ValueError, RecursionError):
        return {}
    return given
