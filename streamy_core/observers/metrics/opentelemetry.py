"""Metrics by OpenTelemetry's API, for whichever SDK the app has set up.

Their names are those of Prometheus without unit and `_total`, which exporters to Prometheus add again:
`streamy_bell_seconds` is `streamy.bell`, in `s`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation, get_meter_provider

from .catalogue import METRICS, Metric, MetricKind
from .instruments import Add, Source
from .readings import Readings

__all__ = ["OpenTelemetryInstruments"]

_METER: Final = "streamy"

_UNITS: Final = {"_seconds": "s", "_bytes": "By"}
"""By how a name ends: as the Unified Code for Units of Measure has them."""


class OpenTelemetryInstruments:
    """`Instruments`. Those of one provider are the same, whoever makes them.

    provider: of meters; the global one unless given, also where that is set up later.
    """

    def __init__(self, provider: MeterProvider | None = None) -> None:
        provider = get_meter_provider() if provider is None else provider
        with _lock:
            if provider not in _of_providers:
                _of_providers[provider] = _Metered(provider.get_meter(_METER))
            self._metered = _of_providers[provider]

    def bind(self, metric: Metric, labels: tuple[str, ...]) -> Add:
        """See `Instruments`."""
        attributes = dict(zip(metric.all_labels, labels, strict=True))
        instrument = self._metered.told[metric]
        tell = instrument.record if metric.kind is MetricKind.HISTOGRAM else instrument.add

        def add(value: float) -> None:
            tell(value, attributes)

        return add

    def watch(self, source: Source) -> Callable[[], object]:
        """See `Instruments`."""
        return self._metered.readings.add(source)


class Spelling(NamedTuple):
    """How OpenTelemetry calls a metric."""

    name: str
    unit: str

    @classmethod
    def of(cls, metric: Metric) -> Spelling:
        """That of this metric."""
        name = metric.name.removesuffix("_total")
        for ending, unit in _UNITS.items():
            if name.endswith(ending):
                return cls(_dotted(name.removesuffix(ending)), unit)
        return cls(_dotted(name), "")


def _dotted(name: str) -> str:
    return name.replace("_", ".", 1)


class _Metered:
    """The instruments of one meter. told: those that are told."""

    def __init__(self, meter: Meter) -> None:
        self.readings = Readings()
        self.told: dict[Metric, Any] = {}
        for metric in METRICS:
            if metric.read:
                self._observe(meter, metric)
            else:
                self.told[metric] = _make(meter, metric)

    def _observe(self, meter: Meter, metric: Metric) -> None:
        def read(_: CallbackOptions) -> Iterable[Observation]:
            return [
                Observation(value, dict(zip(metric.all_labels, labels, strict=True)))
                for (which, labels), value in self.readings.now().items()
                if which is metric
            ]

        name, unit = Spelling.of(metric)
        counts = metric.kind is MetricKind.COUNTER
        create = meter.create_observable_counter if counts else meter.create_observable_gauge
        create(name, [read], unit, metric.meaning)


def _make(meter: Meter, metric: Metric) -> Any:
    name, unit = Spelling.of(metric)
    if metric.kind is MetricKind.HISTOGRAM:
        return meter.create_histogram(
            name, unit, metric.meaning, explicit_bucket_boundaries_advisory=metric.buckets
        )
    counts = metric.kind is MetricKind.COUNTER
    create = meter.create_counter if counts else meter.create_up_down_counter
    return create(name, unit, metric.meaning)


_lock: Final = threading.Lock()
_of_providers: Final[WeakKeyDictionary[MeterProvider, _Metered]] = WeakKeyDictionary()
