"""The numbers of several managers that are read when somebody asks, added up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from .catalogue import Metric, MetricKind
from .instruments import Number, Source

logger: Final = logging.getLogger("streamy.observers")

Values = dict[tuple[Metric, tuple[str, ...]], float]
"""By metric, and by the values of its labels."""


class Readings:
    """See the module. Any thread.

    What a manager that is closed has counted stays: counters never fall.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sources: list[Source] = []
        self._counted: Values = {}
        self._failed = False

    def add(self, source: Source) -> Callable[[], None]:
        """Read this one, too. Returns what ends that; calling it twice does nothing."""
        with self._lock:
            self._sources.append(source)
        return partial(self._remove, source)

    def now(self) -> Values:
        """All values as they are now."""
        with self._lock:
            values = dict(self._counted)
            for source in self._sources:
                _add_up(values, self._read(source))
            return values

    def _remove(self, source: Source) -> None:
        with self._lock:
            if source in self._sources:
                self._sources.remove(source)
                counted = [
                    number for number in self._read(source) if number.metric.kind is MetricKind.COUNTER
                ]
                _add_up(self._counted, counted)

    def _read(self, source: Source) -> list[Number]:
        try:
            return list(source())
        except Exception:
            if not self._failed:
                self._failed = True
                logger.exception("a manager's metrics could not be read; this is logged once")
            return []


def _add_up(values: Values, numbers: Iterable[Number]) -> None:
    for metric, labels, value in numbers:
        key = (metric, labels)
        if key not in values:
            values[key] = value
        else:
            values[key] = min(values[key], value) if metric.lowest else values[key] + value
