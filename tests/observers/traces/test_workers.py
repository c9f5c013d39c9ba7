"""Two workers of gunicorn: what one publishes is delivered by both, in one trace, with a span of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from streamy_core.testing.reading import eventually

from ...support.app_server import AppServer
from ...support.process import suspend
from ...support.raw_client import RawClient
from ...support.web_server import Pair
from . import app

pytestmark = pytest.mark.slow


class Traced(AppServer):
    """gunicorn with two workers, and the spans of both."""

    def __init__(self, folder: Path) -> None:
        self._spans = folder / "spans"
        self._spans.mkdir()
        super().__init__(
            folder / "log",
            Pair("gthread", "detached", threads=8),
            app=f"{app.__name__}:create_app()",
            workers=2,
            settings={
                "STREAMY_BROKER_URL": f"sqlite:///{folder / 'streams.db'}",
                app.FOLDER: str(self._spans),
            },
        )

    def spans(self, name: str) -> dict[int, list[dict[str, Any]]]:
        """Those of this name, by the process that made them."""
        found: dict[int, list[dict[str, Any]]] = {}
        for file in self._spans.iterdir():
            for line in file.read_text("utf-8").splitlines():
                span = json.loads(line)
                if span["name"] == name:
                    found.setdefault(int(file.stem), []).append(span)
        return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Traced]:
    with Traced(tmp_path).start() as server:
        eventually(lambda: len(server.children) == 2, "both workers")
        yield server


def connect_to(server: Traced, pid: int, stream: str) -> RawClient:
    """A client of this worker."""
    others = [psutil.Process(other) for other in server.children if other != pid]
    suspend(others)
    try:
        client = server.connect(stream)
        client.read_opening()
    finally:
        for other in others:
            other.resume()
    return client


def test_each_worker_has_one_delivery_of_the_trace(server: Traced, stream: str) -> None:
    pids = server.children
    with ExitStack() as stack:
        clients = [stack.enter_context(connect_to(server, pid, stream)) for pid in (*pids, *pids)]
        server.send(stream, "a")
        for client in clients:
            client.read(1)
        eventually(lambda: set(server.spans("deliver news")) == set(pids), "a delivery by each worker")
        server.send(stream, "b")
        for client in clients:
            client.read(2)
        eventually(
            lambda: [len(spans) for spans in server.spans("deliver news").values()] == [2, 2],
            "another by each",
        )
    name = "POST /send/<path:name>"
    eventually(lambda: sum(map(len, server.spans(name).values())) == 2, "the requests' own spans")
    published = [span for spans in server.spans("publish news").values() for span in spans]
    requests = [span for spans in server.spans(name).values() for span in spans]
    traces = {span["context"]["trace_id"]: span["context"]["span_id"] for span in published}
    assert {span["context"]["trace_id"]: span["context"]["span_id"] for span in requests} == {
        span["context"]["trace_id"]: span["parent_id"] for span in published
    }
    for spans in server.spans("deliver news").values():
        assert {span["context"]["trace_id"]: span["parent_id"] for span in spans} == traces
        for span in spans:
            assert [link["context"]["span_id"] for link in span["links"]] == [span["parent_id"]]
