"""`flask run` with its reloader, as people develop with it: tabs cost no thread, and a reload is quick."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path
from typing import Final

import pytest

from streamy_core.testing.reading import eventually

from ...support import ROOT
from ...support.ports import free_port
from ...support.raw_client import RawClient
from ...support.web_server import HttpServer

pytestmark = pytest.mark.slow

TABS: Final = 30
QUICK: Final = 0.1
"""Seconds for a page to answer."""

LOOKS_EVERY: Final = 1.0
"""Seconds: so often the reloader looks at files."""

APP: Final = """\
from tests.support.app import create_app

app = create_app()
"""


class FlaskRun(HttpServer):
    """`flask run --debug` of an app in a file, which is loaded anew when the file changes."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "reloaded.py"
        self.file.write_text(APP)
        flask = [sys.executable, "-m", "flask", "--app", "reloaded"]
        command = [*flask, "run", "--debug", "--port", str(free_port())]
        environment = {
            "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
            "STREAMY_BROKER_URL": f"sqlite:///{folder}/streams.db",
            "STREAMY_RECONNECT_DELAY": 0.1,
        }
        super().__init__(command, folder / "log", cwd=folder, environment=environment)

    def threads(self) -> int:
        """Of the process that serves."""
        (serving,) = self.children
        return len(list(Path(f"/proc/{serving}/task").iterdir()))

    def reload(self) -> float:
        """Change the file, and wait until the app has been loaded anew. How many seconds that took."""
        began, before = time.monotonic(), self.children
        with self.file.open("a") as file:
            file.write("# changed\n")
        eventually(lambda: self.children != before and answers(self), "the app loaded anew")
        return time.monotonic() - began


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[FlaskRun]:
    with FlaskRun(tmp_path).start() as server:
        assert isinstance(server, FlaskRun)
        yield server


def test_tabs_cost_no_thread_and_come_back_after_a_reload(own_server: FlaskRun) -> None:
    own_server.ask("/hello")
    without_tabs = own_server.reload()
    with ExitStack() as to_close:
        tabs = [to_close.enter_context(connect(own_server)) for _ in range(TABS)]
        for tab in tabs:
            tab.read_opening()
        eventually(lambda: own_server.threads() < 15, "no thread for each tab")
        began = time.monotonic()
        own_server.ask("/hello")
        assert time.monotonic() - began < QUICK
        with_tabs = own_server.reload()
        for tab in tabs:
            tab.read_to_end()
        own_server.request("POST", "/send/news", b"after")
        for tab in tabs:
            with connect(own_server, tab.last_event_id) as back:
                assert [message.data for message in back.read(1)] == ["after"]
    assert with_tabs < 2 * without_tabs + LOOKS_EVERY


def connect(server: FlaskRun, last_event_id: str | None = None) -> RawClient:
    return RawClient(server.address, "/stream?ids=news", last_event_id=last_event_id)


def answers(server: FlaskRun) -> bool:
    try:
        return server.ask("/hello") == b"hello"
    except (OSError, HTTPException):
        return False
