"""The example in flask-streamy's README runs with nothing changed but the import."""

from __future__ import annotations

import ast
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from streamy_core import StreamEnded

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "from_flask_streamy.py"


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


class Reader:
    """A client of `/stream`, at the first frame already."""

    def __init__(self, client: FlaskClient) -> None:
        self.response = client.get("/stream")
        self._chunks = iter(self.response.iter_encoded())
        self._text = next(self._chunks).decode()

    def read_until(self, text: str) -> str:
        """Read on until `text` has come, and return all up to it."""
        while text not in self._text:
            self._text += next(self._chunks).decode()
        found, _, self._text = self._text.partition(text)
        return found + text

    def read_to_end(self) -> str:
        return self._text + b"".join(self._chunks).decode()


def test_an_event_reaches_the_client(client: FlaskClient) -> None:
    reader = Reader(client)
    assert client.get("/send_event").text == "Event sent"
    assert "event: greeting\ndata: Hello, World!\n\n" in reader.read_until("World!\n\n")


def test_every_client_gets_the_event(client: FlaskClient) -> None:
    readers = [Reader(client), Reader(client)]
    client.get("/send_event")
    assert ["Hello" in reader.read_until("World!\n\n") for reader in readers] == [True, True]


def test_the_end_ends_the_response(client: FlaskClient) -> None:
    reader = Reader(client)
    client.get("/send_event")
    assert client.get("/end_stream").text == "Stream ended"
    assert re.search(r"Hello, World!.*event: streamy\.end\n", reader.read_to_end(), re.DOTALL)


def test_publishing_after_the_end_raises(client: FlaskClient) -> None:
    client.get("/end_stream")
    with pytest.raises(StreamEnded):
        client.get("/send_event")


def test_the_headers_given_win(client: FlaskClient) -> None:
    headers = Reader(client).response.headers
    assert headers["Content-Type"] == "text/event-stream"
    assert headers["Cache-Control"] == "no-cache"
    assert headers["X-Accel-Buffering"] == "no"


def test_only_the_import_differs_from_the_readme(original: Path) -> None:
    readme = (original / "README.md").read_text("utf-8")
    theirs = re.search(r"```python\n(.*?StreamManager.*?)```", readme, re.DOTALL)
    assert theirs
    imported = "from flask_streamy import StreamManager"
    changed = theirs[1].replace(imported, "from streamy_core import StreamManager")
    assert imported in theirs[1]
    assert ast.dump(ast.parse(EXAMPLE.read_text("utf-8"))) == ast.dump(ast.parse(changed))
