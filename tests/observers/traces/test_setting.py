"""`STREAMY_TRACES`: by name, or as an object of OpenTelemetry's or of the app's own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from streamy_core import ConfigError, Event, StreamManager
from streamy_core.config import load_settings
from streamy_core.engine.traces import hand_over
from streamy_core.observers.traces import Tracer
from streamy_core.observers.traces.opentelemetry import OpenTelemetryTracer

from .spans import Spans, meta_of


def test_without_the_setting_nobody_makes_spans() -> None:
    assert load_settings({}).traces is None


@pytest.mark.parametrize("given", ["opentelemetry", Spans().provider])
def test_opentelemetry_is_known_by_its_name_and_by_its_provider(given: object) -> None:
    assert isinstance(load_settings({"STREAMY_TRACES": given}).traces, OpenTelemetryTracer)


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "streamy_core.observers.traces.opentelemetry", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    with pytest.raises(ConfigError) as error:
        load_settings({"STREAMY_TRACES": "opentelemetry"})
    assert "STREAMY_TRACES" in str(error.value)
    assert 'pip install "streamy-sse[opentelemetry]"' in str(error.value)


class Told:
    """A tracer of an app's own, and a span of it."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.meta = {"traceparent": "mine"}

    def publishing(self, group: str | None, count: int) -> Any:
        self.told.append(("publishing", group, count))
        return self

    def delivered(
        self, meta: Mapping[str, str], group: str | None, entry_id: str, began: int, ended: int
    ) -> None:
        self.told.append(("delivered", dict(meta), group, entry_id, began <= ended))

    def as_current(self) -> AbstractContextManager[object]:
        return nullcontext()

    def stored(self, entry_id: str) -> None:
        self.told.append(("stored", entry_id))

    def end(self, failure: str | None = None) -> None:
        self.told.append(("end", failure))


TOLD = Told()


def test_an_object_of_the_apps_own_is_told_and_says_what_is_kept() -> None:
    assert isinstance(TOLD, Tracer)
    with StreamManager(traces=f"{__name__}:TOLD", stream_group=str.upper) as sse:
        entry_id = sse.send_event("news", "a")
        sse.send_events("news", ["b", Event("c", meta={"traceparent": "theirs"})])
        assert meta_of(sse, "news") == [TOLD.meta, TOLD.meta, {"traceparent": "theirs"}]
        traces = sse.binding.engine._traces
        assert traces is not None
        for entry in sse.history("news").entries[:1]:
            hand_over([handover] if (handover := traces.handover(entry)) else [])
    assert TOLD.told == [
        ("publishing", "NEWS", 1),
        ("stored", entry_id),
        ("end", None),
        ("publishing", "NEWS", 2),
        ("end", None),
        ("delivered", TOLD.meta, "NEWS", entry_id, True),
    ]
