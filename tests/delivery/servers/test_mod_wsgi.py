"""Apache's mod_wsgi: what it tells of its processes, and what becomes of streams when one is told to stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ...support.apache import need_apache
from ...support.app_server import SLOTS, AppServer
from ...support.web_server import Pair

pytestmark = pytest.mark.slow


@pytest.fixture
def apache(tmp_path: Path) -> Iterator[AppServer]:
    """One process, whose broker keeps its streams in memory."""
    need_apache()
    pair = Pair("mod_wsgi", "auto", threads=4)
    server = AppServer(tmp_path / "log", pair, settings={"STREAMY_DELIVERY": None, SLOTS: None})
    with server.start():
        yield server
        server.kill()


def process_of(server: AppServer) -> int:
    """The one that runs the app."""
    return int(dict(server.request("GET", "/hello").headers)["X-Worker"])


def test_one_process_is_not_taken_for_several(apache: AppServer, stream: str) -> None:
    with apache.connect(stream) as client:
        client.read_opening()
        apache.send(stream, "hello")
        assert [message.data for message in client.read(1)] == ["hello"]
    assert "EVENTS WILL BE LOST" not in apache.log()


def test_clients_are_told_when_to_come_back_to_a_process_that_is_replaced(
    apache: AppServer, stream: str
) -> None:
    with apache.connect(stream) as client:
        client.read_opening()
        before = process_of(apache)
        os.kill(before, signal.SIGTERM)  # as after `maximum-requests`, or when the script has changed
        client.read_to_end()
        farewell = client.frames[-1]
        assert (farewell.id, farewell.data) == (None, None)
        assert farewell.retry is not None
    assert process_of(apache) != before
