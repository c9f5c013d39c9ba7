"""Metrics: what happens in a manager as counters, gauges and histograms, for Prometheus or OpenTelemetry.

`STREAMY_METRICS` says by which `Instruments` they are kept: "prometheus", "opentelemetry", or an object.
`METRICS` lists them all. Labels have few values: never a stream, a key, or what a client has sent.
"""

from .catalogue import METRICS, Metric, MetricKind
from .instruments import Instruments, Number, Shown, open_instruments
from .listener import Metrics

__all__ = ["METRICS", "Instruments", "Metric", "MetricKind", "Metrics", "Number", "Shown", "open_instruments"]
