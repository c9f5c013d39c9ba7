"""`STREAMY_METRICS`: by name or as an object, for several managers and apps, and who may read them."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streamy_core import ConfigError, StreamEnded, StreamManager
from streamy_core.config import load_settings
from streamy_core.observers.metrics import METRICS, Metric, MetricKind
from streamy_core.observers.metrics.instruments import Add, Source
from streamy_core.observers.metrics.prometheus import PrometheusInstruments, mark_process_dead
from streamy_core.testing.reading import eventually

LOCAL = {"REMOTE_ADDR": "127.0.0.1"}


def app_with(metrics: object, **settings: Any) -> tuple[Flask, StreamManager]:
    app = Flask(__name__)
    app.config.update(STREAMY_METRICS=metrics, **settings)
    sse = StreamManager(app)
    app.register_blueprint(sse.blueprint)
    return app, sse


def published(registry: CollectorRegistry, manager: str = "default", group: str = "news") -> float:
    labels = {"manager": manager, "group": group, "outcome": "stored"}
    return registry.get_sample_value("streamy_published_events_total", labels) or 0.0


def test_without_the_setting_nothing_is_measured() -> None:
    assert load_settings({}).metrics is None
    with StreamManager() as sse:
        assert sse.binding._metrics is None


def test_by_its_name_it_goes_to_prometheus_own_registry() -> None:
    before = published(REGISTRY)
    _, sse = app_with("prometheus")
    with sse:
        sse.send_event("news:1", "a")
    assert published(REGISTRY) == before + 1


def test_apps_made_anew_and_two_managers_of_one_share_a_registry() -> None:
    registry = CollectorRegistry()
    for _ in range(2):
        app, sse = app_with(PrometheusInstruments(registry))
        other = StreamManager(app, name="other")
        sse.send_event("news:1", "a")
        other.send_events("news:1", ["a", "b"])
        other.close()
        sse.close()
    assert (published(registry), published(registry, "other")) == (2, 4)


def test_what_a_closed_manager_has_counted_stays_and_what_it_held_goes() -> None:
    registry = CollectorRegistry()
    app, sse = app_with(PrometheusInstruments(registry))
    app.add_url_rule("/stream", "stream", lambda: sse.get_stream("news:1"))
    body = iter(app.test_client().get("/stream").response)
    next(body)
    sse.send_event("news:1", "a")
    next(body)
    labels = {"manager": "default", "delivery": "wsgi"}
    for close in (lambda: None, sse.close, sse.close):
        close()
        assert registry.get_sample_value("streamy_delivered_events_total", labels) == 1
    assert registry.get_sample_value("streamy_watched_streams", {"manager": "default"}) is None


@pytest.mark.slow
def test_metrics_keep_no_app_alive() -> None:
    registry = CollectorRegistry()
    app, sse = app_with(PrometheusInstruments(registry))
    with app.app_context():
        sse.send_event("news:1", "a")
    gone = weakref.ref(app)
    del app, sse

    def is_gone() -> bool:
        gc.collect()
        return gone() is None

    eventually(is_gone, "the app is gone")
    assert published(registry) == 1


class Told:
    """An app's own instruments."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, tuple[str, ...]], float] = {}
        self.sources: list[Source] = []

    def bind(self, metric: Metric, labels: tuple[str, ...]) -> Add:
        def add(value: float) -> None:
            key = (metric.name, labels)
            self.values[key] = self.values.get(key, 0.0) + value

        return add

    def watch(self, source: Source) -> Callable[[], object]:
        self.sources.append(source)
        return lambda: self.sources.remove(source)


def test_an_object_of_the_apps_own_is_told_and_may_read() -> None:
    told = Told()
    _, sse = app_with(told)
    with sse:
        sse.send_events("news:1", ["a", "b"])
        sse.end_stream("news:2")
        with pytest.raises(StreamEnded):
            sse.send_event("news:2", "late")
        assert ("streamy_publish_duration_seconds", ("default", "news", "ended")) in told.values
        (source,) = told.sources
        read = {(number.metric.name, number.labels): number.value for number in source()}
        assert read["streamy_published_events_total", ("default", "news", "stored")] == 2
        assert read["streamy_watched_streams", ("default",)] == 0


def test_a_group_is_what_the_setting_says() -> None:
    registry = CollectorRegistry()
    _, sse = app_with(PrometheusInstruments(registry), STREAMY_STREAM_GROUP=lambda name: name[:2])
    with sse:
        sse.send_event("news:1", "a")
    assert published(registry, group="ne") == 1


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("prometheus", "prometheus_client", "prometheus"),
        ("opentelemetry", "opentelemetry.metrics", "opentelemetry"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, name: str, module: str, extra: str
) -> None:
    monkeypatch.delitem(sys.modules, f"streamy_core.observers.metrics.{name}", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError) as error:
        load_settings({"STREAMY_METRICS": name})
    assert "STREAMY_METRICS" in str(error.value)
    assert f'pip install "streamy-sse[{extra}]"' in str(error.value)


def test_nothing_of_it_is_imported_unless_it_is_asked_for() -> None:
    packages = {"prometheus_client", "opentelemetry"}
    code = f"import sys, streamy_core; sys.exit(len({packages} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_folder_for_several_processes_has_to_be_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match="mkdir -p"):
        PrometheusInstruments(CollectorRegistry())
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR")
    with pytest.raises(ConfigError, match="PROMETHEUS_MULTIPROC_DIR isn't set"):
        mark_process_dead(1)


# -- names


def test_names_keep_to_the_conventions_of_prometheus() -> None:
    for metric in METRICS:
        assert metric.name.startswith("streamy_")
        assert metric.name.endswith("_total") == (metric.kind is MetricKind.COUNTER)
        assert (metric.kind is MetricKind.HISTOGRAM) == bool(metric.buckets)
        assert metric.kind is not MetricKind.HISTOGRAM or metric.name.endswith("_seconds")


def test_no_label_is_a_stream_or_a_key() -> None:
    registry = CollectorRegistry()
    app, sse = app_with(PrometheusInstruments(registry))
    app.add_url_rule("/stream", "stream", lambda: sse.get_stream("secret-stream", key="secret-key"))
    with sse:
        body = iter(app.test_client().get("/stream").response)
        next(body)
        sse.send_event("secret-stream", "secret-data")
        next(body)
    assert b"secret" not in generate_latest(registry)


# -- the view


def test_the_view_shows_them_to_this_machine_alone() -> None:
    app, sse = app_with(PrometheusInstruments(CollectorRegistry()))
    with sse:
        sse.send_event("news:1", "a")
        client = app.test_client()
        answer = client.get("/streamy/metrics", environ_base=LOCAL)
        families = {family.name for family in text_string_to_metric_families(answer.text)}
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
        assert "streamy_published_events" in families
        assert client.get("/streamy/metrics", environ_base={"REMOTE_ADDR": "10.0.0.7"}).status_code == 404
        for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
            through_a_proxy = client.get("/streamy/metrics", environ_base=LOCAL, headers={header: "10.0.0.7"})
            assert through_a_proxy.status_code == 404


def test_who_else_may_read_them_is_the_apps_to_say(caplog: pytest.LogCaptureFixture) -> None:
    app, sse = app_with(
        PrometheusInstruments(CollectorRegistry()),
        STREAMY_METRICS_ALLOW=lambda request: request.remote_addr == "10.0.0.7",
    )
    with sse:
        client = app.test_client()
        assert client.get("/streamy/metrics", environ_base={"REMOTE_ADDR": "10.0.0.7"}).status_code == 200
        assert client.get("/streamy/metrics", environ_base=LOCAL).status_code == 404
    assert [record for record in caplog.records if "STREAMY_METRICS_ALLOW" in record.message]


@pytest.mark.parametrize("metrics", [None, "opentelemetry"])
def test_without_anything_to_show_there_is_no_view(metrics: object) -> None:
    app, sse = app_with(metrics)
    with sse:
        assert app.test_client().get("/streamy/metrics", environ_base=LOCAL).status_code == 404
