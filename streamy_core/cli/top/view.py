"""What all processes do together, and how `flask streamy top` says numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter
from typing import Any, Final

from ...overview import Process, Rates

_SPANS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
_PATIENCE: Final = 2.0
"""Seconds by which a summary may be late: it takes a while, and so do looks."""

_SIZES: Final = ("B", "KiB", "MiB", "GiB")


@dataclass(frozen=True, slots=True)
class View:
    """All processes at one moment. at: in seconds since 1970."""

    processes: Sequence[Process]
    at: float

    @property
    def ready(self) -> bool:
        """Whether nothing is wrong with any of them."""
        return all(is_ready(process) for process in self.processes)

    @property
    def clients(self) -> Counter[str]:
        """How many clients there are, by delivery."""
        return _sum(process.summary.clients for process in self.processes)

    @property
    def running(self) -> int:
        """How many runs go on."""
        return sum(process.summary.running for process in self.processes)

    @property
    def gaps(self) -> Counter[str]:
        """How many there were since the processes began, by cause."""
        return _sum(process.summary.gaps for process in self.processes)

    @property
    def turned_away(self) -> Counter[str]:
        """How many clients were, likewise."""
        return _sum(process.summary.turned_away for process in self.processes)

    @property
    def rates(self) -> Rates:
        """Those of all together."""
        each = [asdict(process.rates) for process in self.processes]
        return Rates(**{name: sum(rates[name] for rates in each) for name in asdict(Rates())})

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Groups of streams, and how many clients each has: the most first."""
        counts = _sum(
            {name: group.clients for name, group in process.summary.groups.items()}
            for process in self.processes
        )
        return _most_first(counts)

    @property
    def streams(self) -> list[tuple[str, int]]:
        """The busiest streams, likewise."""
        counts = _sum(
            {stream.name: stream.clients for stream in process.summary.streams} for process in self.processes
        )
        return _most_first(counts)

    def as_json(self) -> dict[str, Any]:
        """As plain values. Times are in seconds, those that are `at` or `since` something since 1970."""
        return {
            "at": round(self.at, 3),
            "ready": self.ready,
            "clients": self.clients.total(),
            "running": self.running,
            "processes": [{**process.as_json(), "ready": is_ready(process)} for process in self.processes],
        }


def is_ready(process: Process) -> bool:
    """Whether nothing is wrong with it."""
    return not process.summary.wrong


def is_silent(process: Process) -> bool:
    """Whether it should have told something: it may have been killed, and is left out soon then."""
    return process.silent_for > process.summary.every + _PATIENCE


def name_of(process: Process) -> str:
    """Its number, which tells it from its siblings, its host, and its manager if that has a name."""
    summary = process.summary
    manager = "" if summary.manager in ("", "default") else f" {summary.manager}"
    return f"{summary.pid} {summary.host}{manager}"


def _sum(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total


def _most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(sorted(counts.items()), key=itemgetter(1), reverse=True)


def amount(count: float) -> str:
    """A number of things: 12,345."""
    return f"{count:,.0f}"


def rate(per_second: float) -> str:
    """So many a second: with a tenth where that is few."""
    return f"{per_second:,.1f}" if 0 < per_second < 10 else f"{per_second:,.0f}"


def size(count: float) -> str:
    """So many bytes."""
    for unit in _SIZES[:-1]:
        if count < 1_024:
            return f"{count:.0f} {unit}"
        count /= 1_024
    return f"{count:,.1f} {_SIZES[-1]}"


def took(seconds: float | None) -> str:
    """How long something took."""
    if seconds is None:
        return "-"
    return f"{seconds * 1_000:.0f} ms" if seconds < 10 else f"{seconds:,.0f} s"


def span(seconds: float) -> str:
    """A span of time, by its two largest units: 3h 12m."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for unit, name in _SPANS:
        if left >= unit or parts:
            parts.append(f"{left // unit}{name}")
            left %= unit
    return " ".join(parts[:2]) or "0s"
