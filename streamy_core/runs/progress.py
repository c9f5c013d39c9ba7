"""How far a run has come: told a few times a second, and in the end."""

from __future__ import annotations

import logging
import math
from typing import Any, Final, NamedTuple

from ..errors import InvalidEvent
from ..exact import exact_number

NAME: Final = "progress"
"""The event's name."""

EVERY: Final = 0.25
"""Seconds between two of them, at least."""

logger: Final = logging.getLogger("streamy.runs")


class Progress(NamedTuple):
    """done, of total, which None says nobody knows; and a word about it."""

    done: float
    total: float | None
    note: str | None

    def told(self) -> dict[str, Any]:
        """The event's data."""
        return self._asdict()


def progress_of(stream_id: str, done: object, total: object, note: object) -> tuple[Progress, bool]:
    """The progress that is told, and whether it had to be mended: a bar can't show a part of nothing, or
    more than all. Raises InvalidEvent for what is no number of 0 or more."""
    count = _number(stream_id, "done", done)
    whole = None if total is None else _number(stream_id, "total", total)
    text = None if note is None else str(note)
    if whole is None or (whole > 0 and count <= whole):
        return Progress(count, whole, text), False
    return Progress(count, None if whole == 0 else count, text), True


def warn(stream_id: str, done: object, total: object, progress: Progress) -> None:
    """Say that a progress was mended."""
    logger.warning(
        "stream %r: progress(%r, total=%r) can't be: it is told as %r of %r. Is the total counted before all "
        "is there? Say total=None where nobody knows",
        stream_id,
        done,
        total,
        progress.done,
        progress.total,
    )


def _number(stream_id: str, field: str, given: object) -> float:
    number = exact_number(given)
    if number is None or math.isnan(number) or not 0 <= number < math.inf:
        raise InvalidEvent(
            f"stream {stream_id!r}: {field} of progress is a number of 0 or more, not {given!r:.100}"
        )
    return int(number) if number == int(number) else number
