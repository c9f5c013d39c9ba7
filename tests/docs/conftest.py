"""Fixtures: the documentation's examples, loaded, read and served."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from werkzeug import security

from streamy_core import StreamManager
from streamy_core.testing import EventClient, EventStream

from ..support import ROOT
from ..support.web_server import WebServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as BrowserPage

DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"

Load = Callable[[str], ModuleType]
Connect = Callable[..., EventStream]
Serve = Callable[..., str]


@pytest.fixture(scope="session")
def docs() -> Path:
    return DOCS


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Loads an example by its name, with streams of its own."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    # Hashes of passwords are made to cost time, which tests that sign in need not spend.
    cheap = partial(security.generate_password_hash, method="pbkdf2:sha256:1")
    monkeypatch.setattr(security, "generate_password_hash", cheap)
    managers: list[StreamManager] = []
    handlers: list[tuple[logging.Logger, logging.Handler]] = []

    def load(name: str) -> ModuleType:
        spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
        assert spec
        assert spec.loader
        module = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        values = list(vars(module).values())
        managers.extend(value for value in values if isinstance(value, StreamManager))
        loggers = [value for value in values if isinstance(value, logging.Logger)]
        handlers.extend((each, handler) for each in loggers for handler in each.handlers)
        if "app" in vars(module):
            module.app.testing = True
        return module

    yield load
    for logger, handler in handlers:
        logger.removeHandler(handler)
    for manager in managers:
        manager.close()


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Reads a stream of an app as a browser does: `connect(app, "/stream")`. More: as `EventClient.open`."""
    with ExitStack() as to_close:

        def connect(app: Flask, path: str, **how: Any) -> EventStream:
            return to_close.enter_context(EventClient(app)).open(path, **how)

        yield connect


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[Serve]:
    """Serves an example: `gunicorn("first_app:app")`, and more as `WebServer`, gives its address."""
    with ExitStack() as to_stop:

        def serve(app: str, **server: Any) -> str:
            environment = {"PYTHONDONTWRITEBYTECODE": 1, "HOME": tmp_path}
            given = {"cwd": EXAMPLES, "environment": environment, **server}
            gunicorn = WebServer(app, tmp_path / "log", **given)
            return f"http://127.0.0.1:{to_stop.enter_context(gunicorn.start()).port}"

        yield serve


@pytest.fixture
def browser_page(browser: Browser) -> Iterator[BrowserPage]:
    """A page of a real browser."""
    context = browser.new_context()
    yield context.new_page()
    context.close()
