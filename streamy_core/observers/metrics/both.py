"""Two instruments as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .catalogue import Metric
from .instruments import Add, Instruments, Source


class Both:
    """Two instruments as one: what happens is counted once, and kept by both. Any thread."""

    def __init__(self, first: Instruments, second: Instruments) -> None:
        self._both: Final = (first, second)

    def bind(self, metric: Metric, labels: tuple[str, ...]) -> Add:
        """See `Instruments`."""
        first, second = (one.bind(metric, labels) for one in self._both)

        def add(value: float) -> None:
            first(value)
            second(value)

        return add

    def watch(self, source: Source) -> Callable[[], object]:
        """See `Instruments`."""
        ends = [one.watch(source) for one in self._both]

        def end() -> None:
            for one in ends:
                one()

        return end
