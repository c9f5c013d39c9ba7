"""Metrics by prometheus-client, in one process or in several, for whoever scrapes its registry.

In several, by `PROMETHEUS_MULTIPROC_DIR` (https://prometheus.github.io/client_python/multiprocess/), each
writes what it counts into files of its own, which any of them can show. What is read only when somebody asks
is written there once a second, by `Sampler`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, multiprocess
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ...errors import ConfigError
from .catalogue import CLIENTS, CLOSED, METRICS, Metric, MetricKind
from .distributions import Distributions
from .instruments import Add, Source
from .readings import Readings
from .sampler import Sampler

__all__ = ["PrometheusInstruments", "child_exit", "mark_process_dead"]

_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"

DIED: Final = "died"
"""The reason of clients whose process was killed."""

_processes: Final = cast(Any, multiprocess)
"""It has no types."""

_Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily

_FAMILIES: Final[dict[MetricKind, Callable[..., _Family]]] = {
    MetricKind.COUNTER: CounterMetricFamily,
    MetricKind.GAUGE: GaugeMetricFamily,
    MetricKind.HISTOGRAM: HistogramMetricFamily,
}


class PrometheusInstruments:
    """`Instruments`. Those of one registry are the same, whoever makes them: it takes each name once.

    registry: prometheus-client's own unless given.

    Raises ConfigError where `PROMETHEUS_MULTIPROC_DIR` is no directory.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._registered = _registered_of(registry)

    def bind(self, metric: Metric, labels: tuple[str, ...]) -> Add:
        """See `Instruments`."""
        return self._registered.bind(metric, labels)

    def watch(self, source: Source) -> Callable[[], object]:
        """See `Instruments`."""
        return self._registered.watch(source)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All that the registry holds, of all processes, and its content type.

        accept: the format that is asked for, as an HTTP header says it.
        """
        return self._registered.exposition(accept)


def multiprocess_folder() -> str | None:
    """Where processes keep what they count, if there are several. Raises ConfigError if that is none."""
    folder = os.environ.get(_VARIABLE)
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise ConfigError(
            f"{_VARIABLE}={folder} is no directory: mkdir -p {folder}, before the server starts"
        )
    return folder


def mark_process_dead(pid: int) -> None:
    """A process of several has ended: call it from the one that is their parent, after it has.

    Its gauges count no more, and clients that it has never told to have left, since it was killed, are
    counted as closed, because it `died`. Raises ConfigError without `PROMETHEUS_MULTIPROC_DIR`.
    """
    if (folder := multiprocess_folder()) is None:
        raise ConfigError(f"{_VARIABLE} isn't set: without it no process knows of others")
    registered = _registered_of(REGISTRY)
    for labels, count in _left_behind(Path(folder) / f"gauge_livesum_{pid}.db"):
        registered.child(CLOSED, (*labels, DIED)).inc(count)
    _processes.mark_process_dead(pid, folder)


def child_exit(_server: Any, worker: Any) -> None:
    """gunicorn's hook: in gunicorn.conf.py, import it from here."""
    mark_process_dead(worker.pid)


def _left_behind(gauges: Path) -> Iterator[tuple[tuple[str, ...], float]]:
    """How many clients a process had when it ended, by the labels of `CLIENTS`.

    gauges: its file of them, which goes with it: so another process with its number begins anew.
    """
    files = [str(gauges)] if gauges.exists() else []
    for sample in (
        sample for metric in _processes.MultiProcessCollector.merge(files) for sample in metric.samples
    ):
        if sample.name == CLIENTS.name and sample.value > 0:
            yield tuple(sample.labels[name] for name in CLIENTS.all_labels), sample.value


class _Registered:
    """What one registry holds of Streamy's. Any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._folder = multiprocess_folder()
        self._readings = Readings()
        self._distributions = Distributions()
        self._made: dict[Metric, Any] = {}
        several = self._folder is not None
        for metric in METRICS:
            if several or not _is_collected(metric):
                self._made[metric] = _make(metric, registry)
        self._sampler = Sampler(self._readings, self._distributions, self.child) if several else None
        if not several:
            registry.register(_Reader(self._readings, self._distributions))

    def bind(self, metric: Metric, labels: tuple[str, ...]) -> Add:
        add: Add
        if metric.kind is MetricKind.HISTOGRAM:
            add = self._distributions.of(metric, labels).add
        else:
            add = self.child(metric, labels).inc
        return add if self._sampler is None else partial(_add_and_sample, self._sampler, add)

    def watch(self, source: Source) -> Callable[[], object]:
        remove = self._readings.add(source)
        return remove if self._sampler is None else partial(_remove_and_sample, self._sampler, remove)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        registry = self._registry
        if self._folder is not None:
            if self._sampler is not None:
                self._sampler.sample()
            registry = CollectorRegistry()
            _processes.MultiProcessCollector(registry, self._folder)
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type

    def child(self, metric: Metric, labels: tuple[str, ...]) -> Any:
        return self._made[metric].labels(*labels)


def _make(metric: Metric, registry: CollectorRegistry) -> Any:
    if metric.kind is MetricKind.COUNTER:
        return Counter(metric.name, metric.meaning, metric.all_labels, registry=registry)
    if metric.kind is MetricKind.HISTOGRAM:
        return Histogram(
            metric.name, metric.meaning, metric.all_labels, registry=registry, buckets=metric.buckets
        )
    mode: Any = "livemin" if metric.lowest else "livesum"
    return Gauge(metric.name, metric.meaning, metric.all_labels, registry=registry, multiprocess_mode=mode)


def _add_and_sample(sampler: Sampler, add: Add, value: float) -> None:
    sampler.begin()
    add(value)


def _remove_and_sample(sampler: Sampler, remove: Callable[[], None]) -> None:
    remove()
    sampler.sample()


class _Reader(Collector):
    """Has the registry read what is read only when somebody asks, and the histograms."""

    def __init__(self, readings: Readings, distributions: Distributions) -> None:
        self._readings = readings
        self._distributions = distributions

    def describe(self) -> Iterator[_Family]:
        """What there may be, so that nobody else takes these names."""
        return (_family(metric) for metric in METRICS if _is_collected(metric))

    def collect(self) -> Iterator[_Family]:
        """What there is."""
        families: dict[Metric, Any] = {metric: _family(metric) for metric in METRICS if _is_collected(metric)}
        for (metric, labels), value in self._readings.now().items():
            families[metric].add_metric(labels, value)
        for (metric, labels), held in self._distributions.now().items():
            bounds = [*map(str, metric.buckets), "+Inf"]
            buckets = list(zip(bounds, accumulate(held.counts), strict=True))
            families[metric].add_metric(labels, buckets, held.total)
        yield from families.values()


def _is_collected(metric: Metric) -> bool:
    """Whether one process alone keeps it apart from prometheus-client until it is asked for."""
    return metric.read or metric.kind is MetricKind.HISTOGRAM


def _family(metric: Metric) -> _Family:
    return _FAMILIES[metric.kind](metric.name, metric.meaning, labels=metric.all_labels)


def _registered_of(registry: CollectorRegistry) -> _Registered:
    with _lock:
        if registry not in _of_registries:
            _of_registries[registry] = _Registered(registry)
        return _of_registries[registry]


_lock: Final = threading.Lock()
_of_registries: Final[WeakKeyDictionary[CollectorRegistry, _Registered]] = WeakKeyDictionary()
