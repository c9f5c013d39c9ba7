"""The reference of metrics, the dashboard and the alerts speak of metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from streamy_core.observers import (
    Beginning,
    DisconnectReason,
    DropReason,
    GapCause,
    PublishOutcome,
    TurnAwayCause,
)
from streamy_core.observers.metrics import METRICS, Metric, MetricKind
from streamy_core.observers.metrics.prometheus import DIED

if TYPE_CHECKING:
    from .conftest import Load

BY_NAME: Final = {metric.name: metric for metric in METRICS}

VALUES: Final[dict[str, set[str]]] = {
    "reason": {*DisconnectReason, *DropReason, DIED},
    "cause": {*GapCause, *TurnAwayCause, DisconnectReason.BUSY},
    "outcome": {*PublishOutcome},
    "began": {*Beginning},
    "result": {"hit", "miss"},
    "state": {"running", "waiting"},
}

SELECTOR: Final = re.compile(r"\b(streamy_\w+)(?:\{([^}]*)\})?")
MATCHER: Final = re.compile(r'(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"')
BY: Final = re.compile(r"\bby \(([^)]*)\)")


def metric_of(name: str) -> Metric:
    """The metric of a series. Fails for one that there isn't."""
    base = re.sub(r"_(bucket|count|sum)$", "", name)
    if name in BY_NAME:
        assert BY_NAME[name].kind is not MetricKind.HISTOGRAM, f"{name} has buckets, a sum and a count"
        return BY_NAME[name]
    assert BY_NAME[base].kind is MetricKind.HISTOGRAM, name
    return BY_NAME[base]


def check(expression: str) -> set[str]:
    """The metrics that an expression names. Fails where it, or a label or its value, isn't there."""
    found = {}
    for name, matchers in SELECTOR.findall(expression):
        metric = found[name] = metric_of(name)
        for label, _, value in MATCHER.findall(matchers):
            assert label in metric.all_labels, f"{name} has no label {label}"
            if not value.startswith("$"):
                assert set(value.split("|")) <= VALUES[label], f"{name}: {value}"
    labels = {"le"}.union(*[metric.all_labels for metric in found.values()])
    for names in BY.findall(expression):
        assert set(names.split(", ")) <= labels, expression
    return {metric.name for metric in found.values()}


@pytest.mark.parametrize(
    "expression",
    [
        "streamy_cleints",
        "rate(streamy_bell_seconds[5m])",
        "sum by (stream) (streamy_clients)",
        'streamy_clients{stream="news"}',
        'streamy_gaps_total{cause="lost"}',
    ],
)
def test_what_these_tests_look_for_is_found(expression: str) -> None:
    with pytest.raises((AssertionError, KeyError)):
        check(expression)


def test_the_reference_lists_every_metric(docs: Path) -> None:
    page = (docs / "reference" / "metrics.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if re.match(r"\| `streamy_\w+` \| \w+ \|", line)]
    assert rows == [
        f"| `{metric.name}` | {metric.kind.value} | "
        f"{', '.join(f'`{label}`' for label in metric.labels) or '-'} | {metric.meaning} |"
        for metric in METRICS
    ]


def test_the_dashboard_shows_every_metric_and_no_other(docs: Path) -> None:
    board: dict[str, Any] = json.loads((docs / "examples" / "grafana.json").read_text("utf-8"))
    targets = [target for panel in board["panels"] for target in panel["targets"]]
    shown = {name for target in targets for name in check(target["expr"])}
    assert shown == BY_NAME.keys()
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            check(variable["query"]["query"].replace("label_values(", "sum by (manager) ("))


def test_each_panel_is_there_once_and_says_what_it_shows(docs: Path) -> None:
    panels = json.loads((docs / "examples" / "grafana.json").read_text("utf-8"))["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["title"] and panel["description"] for panel in panels)


def test_there_are_five_alerts_on_metrics_that_there_are_and_the_guide_has_a_row_for_each(docs: Path) -> None:
    rules = (docs / "examples" / "alerts.yml").read_text("utf-8")
    names = re.findall(r"^      - alert: (\w+)$", rules, re.MULTILINE)
    expressions = re.findall(r"^        expr: (.+)$", rules, re.MULTILINE)
    assert len(names) == len(expressions) == 5
    assert all(check(expression) for expression in expressions)
    guide = (docs / "how-to" / "dashboards.md").read_text("utf-8")
    assert re.findall(r"^\| `(Streamy\w+)` \|", guide, re.MULTILINE) == names


def test_each_alert_names_the_part_of_a_guide_that_leads_to_its_cause(docs: Path) -> None:
    rules = yaml.safe_load((docs / "examples" / "alerts.yml").read_text("utf-8"))
    guides = {rule["alert"]: rule["annotations"]["guide"] for rule in rules["groups"][0]["rules"]}
    table = (docs / "how-to" / "dashboards.md").read_text("utf-8")
    for alert, guide in guides.items():
        page, _, heading = guide.partition("#")
        text = (docs.parent / page).read_text("utf-8")
        titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert heading in {re.sub(r"\W+", "-", title.lower()) for title in titles}, guide
        (row,) = re.findall(rf"^\| `{alert}` .*", table, re.MULTILINE)
        assert guide.removeprefix("docs/how-to/") in row


def test_the_example_groups_streams_and_shows_its_metrics_to_whom_it_says(load: Load) -> None:
    example: ModuleType = load("measured")
    names = ("headlines", "room:1", "room:2")
    assert [example.group(name) for name in names] == ["headlines", "room", "room"]
    client = example.app.test_client()
    client.post("/room/1", data={"text": "hello"})
    shown = client.get("/streamy/metrics", environ_base={"REMOTE_ADDR": "10.0.0.7"})
    assert 'streamy_published_events_total{group="room",manager="default",outcome="stored"}' in shown.text
    assert client.get("/streamy/metrics", environ_base={"REMOTE_ADDR": "10.0.0.8"}).status_code == 404
    example.sse.close()


def test_the_hooks_for_gunicorn_are_those_that_it_calls(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    (folder / "counter_1.db").write_bytes(b"old")
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
    hooks = load("measured_gunicorn")
    hooks.on_starting(None)
    assert list(folder.iterdir()) == []
    assert hooks.child_exit.__module__ == "streamy_core.observers.metrics.prometheus"
