"""Lines of the log have fields, which say what happened as an observer is told it; never data."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from typing import Any

import pytest
from flask import Flask

from streamy_backends.memory import Limits, MemoryBroker
from streamy_core import PublishFailed, StreamManager
from streamy_core.observers import (
    Beginning,
    DisconnectReason,
    GapCause,
    Observer,
    PublishOutcome,
    TurnAwayCause,
)
from streamy_core.observers.logs import Logs
from streamy_core.strategies import FixedDelay
from streamy_core.strategies.slow_clients import Lag
from streamy_core.testing import EventClient, FaultyBroker
from streamy_core.testing.reading import eventually

from ..docs.conftest import DOCS

Log = pytest.LogCaptureFixture


@pytest.fixture
def log(caplog: Log) -> Log:
    caplog.set_level(logging.DEBUG, "streamy")
    return caplog


def fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name.startswith("streamy_")}


def of(log: Log, happened: str) -> list[dict[str, Any]]:
    told = [fields(record) for record in log.records]
    return [each for each in told if each.get("streamy_event") == happened]


def test_what_is_published_has_its_stream_its_outcome_and_its_seconds(log: Log) -> None:
    with StreamManager() as sse:
        sse.send_events("news", ["secret-data", "b"])
    (told,) = of(log, "published")
    assert 0 <= told.pop("streamy_seconds") < 10
    assert told == {
        "streamy_event": "published",
        "streamy_stream": "news",
        "streamy_outcome": "stored",
        "streamy_count": 2,
    }
    assert not any("secret-data" in repr(vars(record)) for record in log.records)


def test_what_fails_has_each_attempt(log: Log) -> None:
    with (
        FaultyBroker(MemoryBroker()) as broker,
        StreamManager(broker=broker, retry=FixedDelay(0.0, retries=1)) as sse,
    ):
        broker.fail_next_append(2)
        with pytest.raises(PublishFailed):
            sse.send_event("news", "a")
    assert [told["streamy_attempt"] for told in of(log, "publish_retried")] == [1]
    (record,) = [record for record in log.records if record.levelno == logging.ERROR]
    assert (fields(record)["streamy_event"], fields(record)["streamy_outcome"]) == ("published", "failed")


def test_a_client_that_comes_and_leaves_has_a_line_for_each(log: Log) -> None:
    app = Flask(__name__)
    with StreamManager(app) as sse:
        app.add_url_rule("/stream", "stream", lambda: sse.get_stream("news", key="me"))
        with EventClient(app).open("/stream"):
            pass
    (came,) = of(log, "connected")
    (left,) = of(log, "disconnected")
    whose = {"streamy_streams": ("news",), "streamy_key": "me", "streamy_delivery": "wsgi"}
    assert came == {"streamy_event": "connected", "streamy_began": "live", **whose}
    assert 0 <= left.pop("streamy_seconds") < 10
    assert left == {"streamy_event": "disconnected", "streamy_reason": "gone", **whose}


def test_a_client_that_is_turned_away_has_a_line_with_the_cause(log: Log) -> None:
    app = Flask(__name__)
    with StreamManager(app, max_streams_per_connection=1) as sse:
        app.add_url_rule("/stream", "stream", lambda: sse.get_stream(["a", "b"]))
        app.test_client().get("/stream")
    assert of(log, "turned_away") == [
        {
            "streamy_event": "turned_away",
            "streamy_streams": ("a", "b"),
            "streamy_key": None,
            "streamy_cause": "streams",
        }
    ]


def test_a_gap_has_its_cause(log: Log) -> None:
    with MemoryBroker(Limits(history=2)) as broker, StreamManager(broker=broker) as sse:
        (first, *_) = sse.send_events("news", list("abcde"))
        sse.subscribe("news", after=first).close()
    (told,) = of(log, "gap")
    told.pop("streamy_goes_on")
    assert told == {
        "streamy_event": "gap",
        "streamy_stream": "news",
        "streamy_cursor": first,
        "streamy_cause": "trimmed",
    }


def test_an_end_and_an_opened_stream_have_a_line_with_the_stream(log: Log) -> None:
    with StreamManager() as sse:
        with sse.subscribe("news"):
            pass
        sse.end_stream("news")
    for happened in ("opened", "ended"):
        assert of(log, happened) == [{"streamy_event": happened, "streamy_stream": "news"}]


def test_what_send_soon_loses_has_a_line_with_the_reasons(log: Log) -> None:
    with FaultyBroker(MemoryBroker()) as broker, StreamManager(broker=broker) as sse:
        sse.end_stream("news")
        sse.send_soon("news", "a")
        eventually(lambda: of(log, "dropped"), "the loss is logged")
    assert of(log, "dropped") == [
        {"streamy_event": "dropped", "streamy_count": 1, "streamy_reasons": {"ended": 1}}
    ]


class Client:
    streams = ("news",)
    key = None
    requested_at = 0.0
    began = Beginning.LIVE


TOLD: dict[str, tuple[Any, ...]] = {
    "published": ("news", PublishOutcome.STORED, 1, 0.1, None),
    "published_to_many": (["news"], PublishOutcome.STORED, 0.1, None),
    "publish_retried": ("news", 1, 0.1, ValueError()),
    "connected": (Client(), "wsgi"),
    "disconnected": (Client(), "wsgi", DisconnectReason.GONE),
    "revoked": (Client(), "wsgi", frozenset({"news"})),
    "turned_away": (("news",), None, TurnAwayCause.GRANT),
    "slow": (Client(), Lag(1, 2, 3.0)),
    "gap": ("news", "a", "b", GapCause.TRIMMED),
    "damaged": ("news", None, "why"),
    "read_failed": (ValueError("away"), 1.0),
    "read_recovered": (),
    "bells_missed": (3,),
    "run_started": ("chat:1", "user:1"),
    "run_ended": ("chat:1", "done", 1.5),
}


@pytest.mark.parametrize("happened", TOLD)
def test_the_guide_tells_the_fields_of_each_line(log: Log, happened: str) -> None:
    getattr(Logs(), happened)(*TOLD[happened])
    (record,) = log.records
    assert fields(record).pop("streamy_event") == happened
    page = (DOCS / "how-to" / "logs.md").read_text("utf-8")
    (row,) = re.findall(rf"^\| `{happened}` \|.*\| (.*)\|$", page, re.MULTILINE)
    named = {f"streamy_{name}" for name in re.findall(r"`(\w+)`", row)}
    assert named == fields(record).keys() - {"streamy_event"}
    assert not set(fields(record)) & set(vars(logging.makeLogRecord({})))


def test_every_method_that_logs_is_tried_here() -> None:
    overridden = {name for name in vars(Logs) if not name.startswith("_")}
    assert overridden == TOLD.keys() <= set(vars(Observer))


@pytest.mark.slow
def test_the_recipe_writes_a_line_of_json_for_each() -> None:
    code = "from json_logs import app, sse; sse.send_event('news', 'secret-data')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=DOCS / "examples", capture_output=True, text=True, timeout=60
    )
    told = [json.loads(line) for line in done.stderr.splitlines()]
    (published,) = [line for line in told if line.get("streamy_event") == "published"]
    assert (published["level"], published["streamy_stream"]) == ("DEBUG", "news")
    assert "secret-data" not in done.stderr
