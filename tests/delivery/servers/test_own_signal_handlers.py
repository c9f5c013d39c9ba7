"""An app's own SIGTERM handler costs it neither its slots nor the early leaving."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from ...support.app import create_app as create_plain_app
from ...support.app_server import SLOTS, AppServer
from ...support.web_server import Pair

pytestmark = pytest.mark.slow

STOPS = 5.0


def create_app() -> Flask:
    """The app of `tests.support.app`, which on SIGTERM calls what stood there before."""
    before: Any = signal.getsignal(signal.SIGTERM)

    def handler(number: int, frame: Any) -> None:
        print("the app's own handler", file=sys.stderr, flush=True)
        before(number, frame)

    signal.signal(signal.SIGTERM, handler)
    return create_plain_app()


@pytest.fixture(
    params=[
        Pair("gthread", "detached", threads=4),
        Pair("gthread", "wsgi", threads=4),
        Pair("gevent", "wsgi"),
        Pair("sync", "detached", threads=1),
    ],
    ids=str,
)
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AppServer]:
    app, options = f"{__name__}:create_app()", ("--graceful-timeout", "30")
    settings = {SLOTS: None}
    server = AppServer(tmp_path / "log", request.param, app=app, settings=settings, options=options)
    with server.start():
        yield server


def test_streams_leave_early_and_leave_threads_free(own_server: AppServer, stream: str) -> None:
    with ExitStack() as to_close:
        for _ in range(own_server.pair.threads):
            to_close.enter_context(own_server.connect(stream)).read_head()
        assert own_server.ask("/hello") == b"hello"
        began = time.monotonic()
        own_server.signal(signal.SIGTERM)
        own_server.wait()
        assert time.monotonic() - began < STOPS
    assert "the app's own handler" in own_server.log()
