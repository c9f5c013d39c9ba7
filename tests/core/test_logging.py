"""What is logged: by its part, at the right level, and never an event's data or a password."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from flask import Flask

from streamy_backends.memory import MemoryBroker
from streamy_core import InvalidEvent, PublishFailed, StreamEnded, StreamManager, StreamyError
from streamy_core.strategies.retry import FixedDelay
from streamy_core.testing import FaultyBroker

DATA = "a-secret-in-an-event"
PASSWORD = "hunter2"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything that anybody logs during a test, from DEBUG on."""
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.fixture
def broker() -> Iterator[FaultyBroker]:
    with FaultyBroker(MemoryBroker()) as broker:
        yield broker


@pytest.fixture
def make(broker: FaultyBroker) -> Iterator[Callable[..., StreamManager]]:
    """A manager of the broker, that tries again once, at once."""
    with ExitStack() as to_close:

        def make(**settings: object) -> StreamManager:
            sse = StreamManager(broker=broker, retry=FixedDelay(0.0, retries=1), **settings)
            return to_close.enter_context(sse)

        yield make


@pytest.fixture
def manager(make: Callable[..., StreamManager]) -> StreamManager:
    return make()


def lines(log: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in log.records if record.levelno == level]


# -- levels


def test_a_stream_that_is_opened_is_news(manager: StreamManager, log: pytest.LogCaptureFixture) -> None:
    with manager.subscribe("news"), manager.subscribe("news"):
        pass
    assert lines(log, logging.INFO) == ["stream 'news': opened"]


def test_a_stream_that_is_ended_is_news(manager: StreamManager, log: pytest.LogCaptureFixture) -> None:
    manager.end_stream("news")
    assert lines(log, logging.INFO) == ["stream 'news': ended"]


def test_an_append_is_for_debugging(manager: StreamManager, log: pytest.LogCaptureFixture) -> None:
    manager.send_events("news", ["a", "b"])
    (line,) = lines(log, logging.DEBUG)
    assert re.fullmatch(r"stream 'news': events: 2, stored, in 0\.\d{3} s", line)
    assert len(log.records) == 1


def publish_in_vain(manager: StreamManager, broker: FaultyBroker, failures: int = 2) -> None:
    """Publish while so many of the broker's next calls fail: enough for the manager to give up."""
    broker.fail_next_append(failures)
    with pytest.raises(PublishFailed):
        manager.send_event("news", "x")


def test_another_attempt_is_a_warning_with_its_cause(
    manager: StreamManager, broker: FaultyBroker, log: pytest.LogCaptureFixture
) -> None:
    broker.fail_next_append()
    manager.send_event("news", "x")
    assert lines(log, logging.WARNING) == [
        "could not write to stream 'news' (attempt 1), again in 0.00 s: this append was told to fail"
    ]
    assert lines(log, logging.ERROR) == []


def test_giving_up_is_an_error_with_its_cause(
    manager: StreamManager, broker: FaultyBroker, log: pytest.LogCaptureFixture
) -> None:
    publish_in_vain(manager, broker)
    assert lines(log, logging.ERROR) == [
        "could not publish to stream 'news': given up after 2 attempts: this append was told to fail"
    ]


def test_ending_after_a_failure_is_news(
    make: Callable[..., StreamManager], broker: FaultyBroker, log: pytest.LogCaptureFixture
) -> None:
    publish_in_vain(make(end_stream_on_failure=True), broker)
    assert lines(log, logging.INFO) == ["stream 'news': ended"]


def test_not_even_being_able_to_end_after_a_failure_is_an_error(
    make: Callable[..., StreamManager], broker: FaultyBroker, log: pytest.LogCaptureFixture
) -> None:
    publish_in_vain(make(end_stream_on_failure=True), broker, failures=99)
    assert lines(log, logging.ERROR)[1:] == [
        "stream 'news': could not be ended either: this end was told to fail"
    ]


def test_the_warning_that_events_will_be_lost_names_backends_that_workers_can_share(
    log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    manager = StreamManager(broker="memory://")
    manager.send_event("news", "x")
    manager.close()
    (warning,) = lines(log, logging.WARNING)
    said = ("EVENTS WILL BE LOST", "redis://localhost:6379", "sqlite:////path/to/streams.db")
    assert [text for text in said if text not in warning] == []


@pytest.mark.parametrize("name", ["a%sb", "a\u2028b", "日本語"])
def test_a_streams_name_is_quoted(manager: StreamManager, log: pytest.LogCaptureFixture, name: str) -> None:
    manager.end_stream(name)
    assert lines(log, logging.INFO) == [f"stream {name!r}: ended"]


# -- what must not be there


def live_through_everything(broker: FaultyBroker, manager: StreamManager) -> None:
    """All that can happen to events: stored, retried, given up, refused, read, ended, too late."""
    app = Flask("app")
    with manager.subscribe("news") as subscription:
        manager.send_event("news", DATA, DATA)
        manager.send_events("news", [{"secret": DATA}, DATA])
        assert DATA in subscription.next(10).event.data  # type: ignore[union-attr]
    broker.fail_next_append()
    manager.send_event("news", DATA)
    broker.fail_next_append(2, stored=True)
    with pytest.raises(PublishFailed):
        manager.send_event("news", DATA)
    for refused in (DATA + "\0", DATA.encode(), {DATA}, DATA * 100_000):
        with pytest.raises(InvalidEvent):
            manager.send_event("news", refused)
    with app.test_request_context():
        response = manager.get_stream("news", after="")
        assert DATA.encode() in next(iter(response.response))
        response.close()
    manager.end_stream("news")
    with pytest.raises(StreamEnded):
        manager.send_event("news", DATA)


def test_each_part_has_a_logger_below_streamy_and_nobody_else_says_anything(
    broker: FaultyBroker, manager: StreamManager, log: pytest.LogCaptureFixture
) -> None:
    live_through_everything(broker, manager)
    names = {record.name for record in log.records}
    assert names == {"streamy.delivery", "streamy.hub", "streamy.publisher"}


def test_an_events_data_is_in_no_record_above_debug(
    broker: FaultyBroker, manager: StreamManager, log: pytest.LogCaptureFixture
) -> None:
    live_through_everything(broker, manager)
    above = [record for record in log.records if record.levelno > logging.DEBUG]
    assert {record.levelno for record in above} == {logging.INFO, logging.WARNING, logging.ERROR}
    formatted = [logging.Formatter().format(record) for record in above]
    assert [line for line in formatted if DATA in line] == []


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (f"memory://user:{PASSWORD}@host", {}),
        (f"memory://user:{PASSWORD}@host?token={PASSWORD}", {"password": PASSWORD}),
        (f"memory://:{PASSWORD}/{PASSWORD}@host", {}),
        (f"nowhere://user:{PASSWORD}@host", {"password": PASSWORD}),
        (f":{PASSWORD}@host", {}),
    ],
    ids=["a proper URL", "a secret parameter", "a slash in it", "an unknown scheme", "no scheme"],
)
def test_a_password_is_in_no_record_and_no_error(
    url: str, options: dict[str, str], log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "2")  # which makes a memory broker warn
    said = ""
    manager = StreamManager(broker=url, broker_options=options)
    try:
        with manager.subscribe("news"):
            manager.send_event("news", "x")
    except StreamyError as error:
        said = str(error)
    manager.close()
    said += "".join(record.getMessage() for record in log.records)
    assert said
    assert PASSWORD not in said


# -- handlers

IMPORT_AND_USE = """
import json, logging, threading
import streamy_core, streamy_core.plugins
streamy_core.plugins.find_backends()
manager = streamy_core.StreamManager()
with manager.subscribe("news"):
    manager.send_event("news", "x")
manager.end_stream("news")
manager.close()
loggers = logging.root.manager.loggerDict.items()
names = [name for name, logger in loggers if getattr(logger, "handlers", None)]
print(json.dumps([len(logging.root.handlers), logging.root.level, names]))
"""


@pytest.mark.slow
def test_no_handler_is_set_anywhere_nor_a_level() -> None:
    fresh = subprocess.run([sys.executable, "-c", IMPORT_AND_USE], capture_output=True, text=True, check=True)
    assert json.loads(fresh.stdout) == [0, logging.WARNING, []]
    assert fresh.stderr == ""
