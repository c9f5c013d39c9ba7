"""Fixtures: the documentation's examples, loaded, read and served."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from werkzeug.test import TestResponse

from streamy_core import StreamManager
from streamy_core.testing.reading import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as BrowserPage

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = DOCS / "examples"

Load = Callable[[str], ModuleType]


@pytest.fixture(scope="session")
def docs() -> Path:
    return DOCS


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Loads an example by its name, with streams of its own."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    managers: list[StreamManager] = []

    def load(name: str) -> ModuleType:
        spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
        assert spec
        assert spec.loader
        module = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        managers.extend(value for value in vars(module).values() if isinstance(value, StreamManager))
        if "app" in vars(module):
            module.app.testing = True
        return module

    yield load
    for manager in managers:
        manager.close()


class Reader:
    """Reads the body of a response, as far as it is asked to. It is at the first frame already."""

    def __init__(self, response: TestResponse) -> None:
        assert response.status_code == 200
        self._chunks = iter(response.iter_encoded())
        self.opening = next(self._chunks).decode()
        self._text = self.opening

    def until(self, text: str) -> str:
        """All up to this text, once it has come."""
        while text not in self._text:
            self._text += next(self._chunks).decode()
        found, _, self._text = self._text.partition(text)
        return found + text

    def rest(self) -> str:
        """All up to the end."""
        return self._text + b"".join(self._chunks).decode()


@pytest.fixture
def reader() -> type[Reader]:
    return Reader


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Serves an example: `gunicorn("first_app:app")` gives its address."""
    started: list[subprocess.Popen[bytes]] = []

    def serve(app: str) -> str:
        log = tmp_path / "log"
        arguments = ("--bind", "127.0.0.1:0", "--worker-class", "gthread", "--threads", "4")
        with log.open("wb") as output:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "gunicorn", *arguments, app],
                    cwd=EXAMPLES,
                    env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(tmp_path)},
                    stdout=output,
                    stderr=output,
                )
            )
        eventually(lambda: "Booting worker" in log.read_text(), "gunicorn started")
        found = re.search(r"Listening at: (http://\S+)", log.read_text())
        assert found, log.read_text()
        return found[1]

    yield serve
    for server in started:
        server.terminate()
        server.wait()


@pytest.fixture
def browser_page(browser: Browser) -> Iterator[BrowserPage]:
    """A page of a real browser."""
    context = browser.new_context()
    yield context.new_page()
    context.close()
