"""What keeps metrics: the interface of Prometheus, OpenTelemetry, and whatever else an app brings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Final, NamedTuple, Protocol, cast, runtime_checkable

from ...errors import ConfigError
from .catalogue import Metric


class Number(NamedTuple):
    """A metric's value as it is now; of a counter: all that was counted so far.

    labels: the values of all its labels, `manager` first.
    """

    metric: Metric
    labels: tuple[str, ...]
    value: float


Add = Callable[[float], object]
"""Adds to a counter or a gauge, or notes a value of a histogram. Must not block or raise. Any thread."""

Source = Callable[[], Iterable[Number]]
"""Gives the numbers of one manager that are read when somebody asks. Any thread."""


@runtime_checkable
class Instruments(Protocol):
    """Keeps metrics. Any thread. An app's own is any object with these methods."""

    def bind(self, metric: Metric, labels: tuple[str, ...]) -> Add:
        """What tells this metric, with these values of all its labels. Called once for each of them."""
        ...

    def watch(self, source: Source) -> Callable[[], object]:
        """Read this source whenever somebody asks. Returns what ends that, after a last look at it."""
        ...


@runtime_checkable
class Shown(Protocol):
    """Instruments that can show what they keep, to whoever scrapes it. Any thread."""

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All that is kept, of all processes, and its content type. accept: as an HTTP header has it."""
        ...


_OURS: Final = {
    "prometheus": ("PrometheusInstruments", "prometheus-client"),
    "opentelemetry": ("OpenTelemetryInstruments", "opentelemetry-api"),
}


def open_instruments(name: str) -> Instruments | None:
    """Those of Streamy by this name; None: there are none. Raises ConfigError where a package is missing."""
    if name not in _OURS:
        return None
    made, package = _OURS[name]
    try:
        module = import_module(f"{__package__}.{name}")
    except ImportError as error:
        raise ConfigError(
            f'{name!r} needs {package}, which can\'t be imported ({error}): pip install "streamy-sse[{name}]"'
        ) from error
    return cast(Instruments, getattr(module, made)())
