"""A stream's group is a label with few values, whatever streams are called, and whatever names them."""

from __future__ import annotations

import logging

import pytest

from streamy_core.observers.metrics.groups import MOST, Groups


@pytest.mark.parametrize(
    ("stream", "group"),
    [("news:1", "news"), ("a:b:c", "a"), ("alone", "none"), (":1", "none"), ("news:", "news")],
)
def test_a_group_is_what_stands_before_the_first_colon_and_never_the_whole_name(
    stream: str, group: str
) -> None:
    assert Groups().of(stream) == group


def test_there_are_never_more_than_fifty_and_the_first_ones_stay() -> None:
    groups = Groups()
    named = [groups.of(f"group{number}:1") for number in range(5_000)]
    assert len(set(named)) == MOST + 1
    assert set(named[MOST:]) == {"other"}
    assert groups.of("group0:2") == "group0"


def test_what_is_remembered_of_streams_is_bounded() -> None:
    groups = Groups(lambda stream_id: "one")
    for number in range(5_000):
        groups.of(f"news:{number}")
    assert len(groups._of) <= 1_000


def test_a_function_that_fails_or_gives_no_text_means_other_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    groups = Groups(lambda stream_id: {"good": "fine", "bad": 5}[stream_id])  # type: ignore[return-value]
    assert [groups.of(name) for name in ("good", "bad", "unknown")] == ["fine", "other", "other"]
    assert [(record.levelno, "STREAMY_STREAM_GROUP" in record.message) for record in caplog.records] == [
        (logging.ERROR, True)
    ]


def test_a_group_is_cut_where_it_is_long() -> None:
    assert len(Groups().of(f"{'x' * 200}:1")) == 100
