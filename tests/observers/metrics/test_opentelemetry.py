"""OpenTelemetry's SDK is told the same, by names that an exporter to Prometheus makes the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint

from streamy_core.observers.metrics import METRICS, Metric, MetricKind
from streamy_core.observers.metrics.opentelemetry import OpenTelemetryInstruments, Spelling
from streamy_core.testing.reading import eventually

from .stage import Stage

Point = NumberDataPoint | HistogramDataPoint


class Told:
    """What the SDK would export now."""

    def __init__(self, stage: Stage, reader: InMemoryMetricReader) -> None:
        self.stage = stage
        self._reader = reader

    def points(self) -> dict[str, list[Point]]:
        data = self._reader.get_metrics_data()
        scopes = [scope for each in data.resource_metrics for scope in each.scope_metrics] if data else []
        return {
            metric.name: list(metric.data.data_points)  # type: ignore[arg-type]
            for scope in scopes
            for metric in scope.metrics
        }

    def value(self, name: str, **attributes: str) -> float:
        for point in self.points().get(name, []):
            if point.attributes == {"manager": "default", **attributes}:
                return point.count if isinstance(point, HistogramDataPoint) else point.value
        return 0


@pytest.fixture(params=["detached", "wsgi"])
def told(request: pytest.FixtureRequest) -> Iterator[Told]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    with Stage(request.param, metrics=OpenTelemetryInstruments(provider)) as stage:
        yield Told(stage, reader)
    provider.shutdown()


def test_it_is_told_what_happens(told: Told) -> None:
    stage, delivery = told.stage, told.stage.delivery
    with stage.read("news:1") as client:
        stage.sse.send_events("news:1", ["a", "b"])
        client.read(2)
        assert told.value("streamy.clients", delivery=delivery) == 1
        assert told.value("streamy.connections_opened", delivery=delivery, began="live") == 1
        assert told.value("streamy.published_events", group="news", outcome="stored") == 2
        assert told.value("streamy.publish_duration", group="news", outcome="stored") == 1
        eventually(lambda: told.value("streamy.bell") >= 1, "a canary has come back")
        eventually(lambda: told.value("streamy.delivered_events", delivery=delivery) == 2, "both delivered")
        assert told.value("streamy.delivered", delivery=delivery) > 0
        assert told.value("streamy.watched_streams") == 1
        assert told.value("streamy.window_lookups", result="hit") >= 1
    eventually(lambda: told.value("streamy.clients", delivery=delivery) == 0, "it has left")
    eventually(lambda: told.value("streamy.connection_duration", delivery=delivery) == 1, "its life is told")
    assert told.value("streamy.connections_closed", delivery=delivery, reason="gone") == 1


def test_a_histogram_has_the_same_buckets(told: Told) -> None:
    told.stage.sse.binding._observer.bell_heard(0.2)
    (point,) = told.points()["streamy.bell"]
    assert isinstance(point, HistogramDataPoint)
    (bell,) = [metric for metric in METRICS if metric.name == "streamy_bell_seconds"]
    assert tuple(point.explicit_bounds) == bell.buckets


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_an_exporter_to_prometheus_finds_the_same_name(metric: Metric) -> None:
    # https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
    name, unit = Spelling.of(metric)
    exported = name.replace(".", "_")
    exported += {"s": "_seconds", "By": "_bytes", "": ""}[unit]
    exported += "_total" if metric.kind is MetricKind.COUNTER else ""
    assert exported == metric.name


def test_names_are_all_different() -> None:
    assert len({Spelling.of(metric).name for metric in METRICS}) == len(METRICS)


def test_two_managers_are_told_apart_by_one_set_of_instruments() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    with Stage("wsgi", metrics=OpenTelemetryInstruments(provider)) as first:
        told = Told(first, reader)
        with Stage("wsgi", metrics=OpenTelemetryInstruments(provider)) as second:
            for stage in (first, second):
                stage.sse.send_event("news:1", "a")
        assert told.value("streamy.published_events", group="news", outcome="stored") == 2
    provider.shutdown()
