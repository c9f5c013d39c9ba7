"""The example in flask-streamy's README runs with nothing changed but the import."""

from __future__ import annotations

import ast
import re
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from streamy_core import END, StreamEnded
from streamy_core.testing import EventClient, EventStream

from ..support import ROOT

EXAMPLE = ROOT / "docs" / "examples" / "from_flask_streamy.py"


@pytest.fixture
def app() -> Iterator[Flask]:
    """The example's app, with streams of its own."""
    example = runpy.run_path(str(EXAMPLE))
    example["app"].testing = True  # errors come through to the test
    yield example["app"]
    example["sse"].close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def connect(app: Flask) -> Iterator[Callable[[], EventStream]]:
    """Connects clients of `/stream`."""
    with EventClient(app) as client:
        yield lambda: client.open("/stream")


def test_an_event_reaches_the_client(client: FlaskClient, connect: Callable[[], EventStream]) -> None:
    stream = connect()
    assert client.get("/send_event").text == "Event sent"
    assert [event[:2] for event in stream.events(1)] == [("greeting", "Hello, World!")]


def test_every_client_gets_the_event(client: FlaskClient, connect: Callable[[], EventStream]) -> None:
    streams = [connect(), connect()]
    client.get("/send_event")
    assert [stream.events(1)[0].data for stream in streams] == ["Hello, World!"] * 2


def test_the_end_ends_the_response(client: FlaskClient, connect: Callable[[], EventStream]) -> None:
    stream = connect()
    client.get("/send_event")
    assert client.get("/end_stream").text == "Stream ended"
    assert [event.type for event in stream.read_to_end()] == ["greeting", END]


def test_publishing_after_the_end_raises(client: FlaskClient) -> None:
    client.get("/end_stream")
    with pytest.raises(StreamEnded):
        client.get("/send_event")


def test_the_headers_given_win(connect: Callable[[], EventStream]) -> None:
    headers = connect().headers
    assert headers["Content-Type"] == "text/event-stream"
    assert headers["Cache-Control"] == "no-cache"
    assert headers["X-Accel-Buffering"] == "no"


@pytest.mark.slow
def test_only_the_import_differs_from_the_readme(original: Path) -> None:
    readme = (original / "README.md").read_text("utf-8")
    theirs = re.search(r"```python\n(.*?StreamManager.*?)```", readme, re.DOTALL)
    assert theirs
    imported = "from flask_streamy import StreamManager"
    changed = theirs[1].replace(imported, "from streamy_core import StreamManager")
    assert imported in theirs[1]
    assert ast.dump(ast.parse(EXAMPLE.read_text("utf-8"))) == ast.dump(ast.parse(changed))
