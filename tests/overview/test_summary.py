"""A summary comes through as it was told, and whatever else comes harms nobody."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamy_core.overview import GroupSummary, RunSummary, StreamSummary, Summary, Wrong
from streamy_core.overview.summary import MOST_GROUPS, MOST_RUNS, MOST_STREAMS, read_summary

FULL = Summary(
    process="web-1:7:ab",
    host="web-1",
    pid=7,
    manager="default",
    at=12.5,
    since=2.5,
    every=5.0,
    versions={"streamy": "1"},
    clients={"detached": 5},
    groups={"room": GroupSummary(5, 9)},
    streams=(StreamSummary("room:<b>1</b>", 5, 0.5),),
    runs=(RunSummary("chat:<b>1</b>", 61.5, 42, True), RunSummary("job:1")),
    running=41,
    gaps={"trimmed": 1},
    bell_seconds=0.002,
    memory=1_000,
    wrong=(Wrong("broker", 3.5, "no answer"),),
    live=False,
)


def read(**given: Any) -> Summary:
    summary = read_summary(json.dumps({"process": "p", **given}))
    assert summary is not None
    return summary


def test_it_is_read_as_it_was_told() -> None:
    assert read_summary(FULL.as_text()) == FULL
    assert read_summary(Summary(process="p").as_text()) == Summary(process="p")


def test_what_a_newer_release_tells_beside_it_is_left_out() -> None:
    told = {**FULL.as_json(), "weather": "fine", "groups": {"room": {"clients": 5, "published": 9, "new": 1}}}
    assert read_summary(json.dumps(told)) == FULL


NONE = ["", "null", "[]", "{}", "7", "{", '{"process": 7}', '{"process": ""}', '{"process": "p", "at": NaN}']


@pytest.mark.parametrize("text", [*NONE, "[" * 99_999])
def test_what_is_no_summary_is_none(text: str) -> None:
    assert read_summary(text) is None


@pytest.mark.parametrize(
    "value", [None, True, "x", -1e400, 10**400, [], {}, [[]], [{}], {"a": "x"}, {"a": {}}]
)
def test_a_value_of_another_kind_is_nothing_and_spoils_no_other(value: Any) -> None:
    hostile = {name: value for name in FULL.as_json() if name != "process"}
    text = json.dumps({**hostile, "process": "p", "pid": 7}).replace("-Infinity", "-1e400")
    summary = read_summary(text)
    assert summary is not None
    assert summary.pid == 7
    assert read_summary(summary.as_text()) is not None


def test_of_a_run_that_is_told_badly_only_what_can_be_is_taken() -> None:
    told = [
        7,
        {},
        {"stream": 7},
        {"stream": ""},
        {"stream": "a", "seconds": "x", "entries": [], "stopping": 1},
    ]
    summary = read(runs=told, running="many")
    assert (summary.runs, summary.running) == ((RunSummary("a"),), 0)


def test_it_is_bounded_whatever_is_told() -> None:
    many = {f"{number}" * 400: {"clients": 1} for number in range(1_000)}
    summary = read(
        groups=many,
        streams=[{"name": "x" * 999}] * 999,
        runs=[{"stream": "x" * 999}] * 999,
        last_failure="x" * 99_999,
        gaps=dict.fromkeys(many, 1),
    )
    assert len(summary.groups) <= MOST_GROUPS + 2
    assert len(summary.streams) == MOST_STREAMS
    assert (len(summary.runs), len(summary.runs[0].stream)) == (MOST_RUNS, 255)
    assert len(summary.as_text()) < 100_000


def test_what_json_cannot_say_is_told_all_the_same() -> None:
    text = Summary(process="p", loop_lag=float("inf"), last_failure="x" * 9_999).as_text()
    summary = read_summary(text)
    assert summary is not None
    assert summary.loop_lag == 0.0
    assert len(text) < 3_000
