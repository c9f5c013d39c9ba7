"""Histograms of this process: cheap to tell, since they may be told for every event."""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import NamedTuple

from .catalogue import Metric


class Distributed(NamedTuple):
    """What a histogram holds. counts: by bucket, not added up; the last one is of what is beyond all."""

    counts: tuple[int, ...]
    total: float


class Distribution:
    """One histogram. Any thread."""

    __slots__ = ("_bounds", "_counts", "_lock", "_total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._lock = threading.Lock()
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def add(self, value: float) -> None:
        """Count this one."""
        bucket = bisect_left(self._bounds, value)
        with self._lock:
            self._counts[bucket] += 1
            self._total += value

    def now(self) -> Distributed:
        """What it holds."""
        with self._lock:
            return Distributed(tuple(self._counts), self._total)


class Distributions:
    """All histograms, by metric and by the values of its labels. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[tuple[Metric, tuple[str, ...]], Distribution] = {}

    def of(self, metric: Metric, labels: tuple[str, ...]) -> Distribution:
        """That of this metric with these values of its labels."""
        with self._lock:
            key = (metric, labels)
            if key not in self._all:
                self._all[key] = Distribution(metric.buckets)
            return self._all[key]

    def now(self) -> dict[tuple[Metric, tuple[str, ...]], Distributed]:
        """What all of them hold."""
        with self._lock:
            return {key: distribution.now() for key, distribution in self._all.items()}
