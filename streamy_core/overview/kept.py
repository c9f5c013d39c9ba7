"""Instruments that keep a manager's numbers in this process, for whoever reads them here: the overview."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable

from ..broker import ForkGuard
from ..observers.metrics import Metric, MetricKind
from ..observers.metrics.instruments import Add, Source

Values = dict[tuple[Metric, tuple[str, ...]], float]
"""By metric, and by the values of its labels."""


class Kept:
    """See the module. Any thread. A forked process begins anew, and counts nothing of its parent's.

    Of histograms only the largest value is kept, until somebody has asked for it.
    """

    _lock: threading.Lock
    _sums: defaultdict[tuple[Metric, tuple[str, ...]], float]
    _largest: defaultdict[Metric, float]
    _inherited: Values

    def __init__(self) -> None:
        self._source: Source = tuple
        self._guard = ForkGuard(self._start)

    def bind(self, metric: Metric, labels: tuple[str, ...]) -> Add:
        """See `Instruments`."""
        key = (metric, labels)
        is_largest = metric.kind is MetricKind.HISTOGRAM

        def add(value: float) -> None:
            self._guard.check()
            with self._lock:
                if not is_largest:
                    self._sums[key] += value
                elif value > self._largest[metric]:
                    self._largest[metric] = value

        return add

    def watch(self, source: Source) -> Callable[[], object]:
        """See `Instruments`. There is one source, since there is one manager."""
        self._source = source

        def end() -> None:
            self._source = tuple

        return end

    def values(self) -> Values:
        """All counters and gauges as they are now."""
        self._guard.check()
        read = self._read()
        for key, before in self._inherited.items():
            if key[0].kind is MetricKind.COUNTER and key in read:
                read[key] -= before
        with self._lock:
            return {**self._sums, **read}

    def take_largest(self, metric: Metric) -> float | None:
        """The largest value of a histogram, by any labels, since this was last asked; None: none came."""
        self._guard.check()
        with self._lock:
            return self._largest.pop(metric, None)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._sums = defaultdict(float)
        self._largest = defaultdict(float)
        self._inherited = self._read()

    def _read(self) -> Values:
        return {(metric, labels): value for metric, labels, value in self._source()}
