"""What a starter says of its run, checked."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final, Self

from ..commands import check_key
from ..engine.outcomes import RunStart
from ..exact import exact_number
from .coalescing import Coalesce
from .held import OnError, Resume

_SHORTEST: Final = 1.0
_LONGEST: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Terms:
    """The arguments of `StreamManager.start_run` that are about the run itself.

    start: what its first entry will say. name: of what isn't an `Event`.
    """

    start: RunStart
    name: str | None = None
    coalesce: Coalesce | None = None
    join: bool = False
    on_error: OnError | None = None
    alone: float | None = None
    resume: Resume | None = None

    @classmethod
    def of(
        cls,
        *,
        event_name: str | None,
        coalesce: float | Coalesce | None,
        key: str | int | None,
        join: bool,
        lease: float,
        on_error: OnError | None,
        stop_when_alone: float | None,
        resume: Resume | None,
    ) -> Self:
        """For these arguments. Raises InvalidKey, ValueError, TypeError."""
        if on_error is not None and not callable(on_error):
            raise TypeError(f"on_error is a function of an error, not {on_error!r:.100}")
        if resume is not None and not callable(resume):
            raise TypeError(f"resume is a function of a stream id, not {resume!r:.100}")
        seconds = check_seconds("lease", lease)
        start = RunStart(secrets.token_hex(8), seconds, None if key is None else check_key(key))
        alone = None if stop_when_alone is None else check_seconds("stop_when_alone", stop_when_alone)
        return cls(start, event_name, _check_coalesce(coalesce), join, on_error, alone, resume)


def _check_coalesce(given: float | Coalesce | None) -> Coalesce | None:
    if given is None or isinstance(given, Coalesce):
        return given
    seconds = exact_number(given)
    if seconds is None:
        raise ValueError(f"coalesce is a number of seconds, or a Coalesce, not {given!r:.100}")
    return Coalesce(seconds)


def check_seconds(field: str, given: object) -> float:
    """A lease, or what is like one, in seconds. Raises ValueError."""
    seconds = exact_number(given)
    if seconds is None or not _SHORTEST <= seconds <= _LONGEST:
        raise ValueError(f"{field} is from {_SHORTEST:g} to {_LONGEST:g} seconds, not {given!r:.100}")
    return seconds
