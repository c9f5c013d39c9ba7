"""An app whose commands are called in this process, and one whose commands are processes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask

from streamy_core import StreamManager
from streamy_core.cli import flask_commands

from ..support.file_broker import FileBroker
from .command import APP, Command

Invoke = Callable[..., Result]
Start = Callable[..., Command]


@pytest.fixture
def app() -> Flask:
    return Flask("shop")


@pytest.fixture
def sse(app: Flask) -> Iterator[StreamManager]:
    """The app's manager, on memory://."""
    with closing(StreamManager(app)) as manager:
        yield manager


@pytest.fixture
def invoke(app: Flask) -> Invoke:
    """Call `flask streamy …` for the app, in this process: invoke("send", "news", "hello")."""

    def invoke(*args: str, input: bytes | None = None, charset: str = "utf-8") -> Result:
        return app.test_cli_runner(charset=charset).invoke(flask_commands, args, input=input)

    return invoke


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a process: start(flask_streamy("tail", "news")). Arguments are those of Command."""
    (tmp_path / "shop.py").write_text(APP)
    # A job in a shell's background ignores SIGINT, and so would what it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with ExitStack() as started:
        yield lambda args, **how: started.enter_context(closing(Command(args, tmp_path, **how)))
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def log(tmp_path: Path) -> FileBroker:
    """The broker of the app in `shop.py`."""
    return FileBroker(tmp_path / "log")
