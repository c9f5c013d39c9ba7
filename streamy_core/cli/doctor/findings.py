"""What the doctor finds, and how checks are run so that one that fails keeps no other from looking."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from typing import Final, Literal
from urllib.parse import urlsplit

from ...errors import StreamyError

Level = Literal["error", "warning", "note"]

_CLAUSE: Final = re.compile(r": |; ")
_TELLS: Final = (StreamyError, OSError, HTTPException)
"""Errors whose texts hold no secrets: ours, and those of the network."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or may be.

    level: "error": events are lost, or don't arrive; "warning": they may; "note": it could be better.
    what:  what it is. why: what comes of it. cure: a line to copy, or what to do.
    """

    level: Level
    what: str
    why: str
    cure: str


Check = Callable[[], Iterable[Finding]]
"""Looks at one thing. Whatever it raises becomes a finding."""


def run_checks(checks: Iterable[tuple[str, Check]]) -> list[Finding]:
    """All that these checks find, each thing once, the worst first.

    checks: what each looks at, in words, and the check.
    """
    found: dict[str, Finding] = {}
    for looked_at, check in checks:
        for finding in _run(looked_at, check):
            found.setdefault(finding.what, finding)
    order: tuple[Level, ...] = ("error", "warning", "note")
    return sorted(found.values(), key=lambda finding: order.index(finding.level))


def _run(looked_at: str, check: Check) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as error:  # noqa: BLE001 - a doctor that falls ill helps nobody
        told = f": {error}" if isinstance(error, _TELLS) else ""  # others' texts may hold a password
        yield Finding(
            "warning",
            f"couldn't look at {looked_at}",
            f"{type(error).__name__}{told}",
            "look at it yourself; if it seems all right, report this as a fault of the doctor",
        )


def cure_in(message: str) -> str:
    """What mends it, of a message of ours: its last clause says so."""
    return _CLAUSE.split(message)[-1]


def shown_url(url: str) -> str:
    """An address of the web as it may be shown: without a login and a query, which may be a right."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
