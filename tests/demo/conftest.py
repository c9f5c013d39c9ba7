"""The demo as its users meet it: a real server on a free port, and a real browser."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from streamy_core.demo.app import EXTENSION, Demo, create_app

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Notes what arrives by itself, so that the page's own counting is not the only witness.
WITNESS = """
window.serials = [];
window.connections = 0;
const ask = window.fetch;
window.fetch = async (resource, options) => {
  const response = await ask(resource, options);
  if (!String(resource).includes("/events") || response.status !== 200) return response;
  connections += 1;
  let text = "";
  const [own, pages] = response.body.tee();
  const note = new WritableStream({
    write(part) {
      const frames = (text += part).split("\\n\\n");
      text = frames.pop();
      for (const frame of frames) {
        const data = /^event: system\\ndata: (.*)$/m.exec(frame)?.[1];
        if (data) serials.push(JSON.parse(data).serial);
      }
    },
  });
  own.pipeThrough(new TextDecoderStream()).pipeTo(note).catch(() => {});
  return new Response(pages, response);
};
"""


class QuietHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


class Served:
    """An app of the demo on a free port. Notes all requests as "METHOD path"."""

    def __init__(self, **options: Any) -> None:
        self.app = create_app(**options)
        self.demo: Demo = self.app.extensions[EXTENSION]
        self.requests: list[str] = []
        self._requested = threading.Condition()
        self._inner = self.app.wsgi_app
        self.app.wsgi_app = self._note  # type: ignore[method-assign]
        self._server = make_server("127.0.0.1", 0, self.app, threaded=True, request_handler=QuietHandler)
        self.url = f"http://127.0.0.1:{self._server.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def count(self, request: str) -> int:
        """How many requests there were that begin so."""
        return sum(line.startswith(request) for line in self.requests)

    def wait_for(self, request: str, times: int, seconds: float) -> bool:
        """Whether there are so many such requests within `seconds`."""
        with self._requested:
            return self._requested.wait_for(lambda: self.count(request) >= times, seconds)

    def say(self, text: str, name: str = "Somebody") -> None:
        """Post a chat message."""
        body = json.dumps({"name": name, "text": text}).encode()
        headers = {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/chat", body, headers)):
            pass

    def close(self) -> None:
        self.demo.close()
        self._server.shutdown()
        self._thread.join()

    def _note(self, environ: Any, start_response: Any) -> Any:
        with self._requested:
            self.requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
            self._requested.notify_all()
        return self._inner(environ, start_response)


def wait_until(condition: Callable[[], object], seconds: float = 10) -> bool:
    """Whether `condition` comes true within `seconds`."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.02)
    return True


@pytest.fixture
def until() -> Callable[..., bool]:
    return wait_until


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Serves apps of the demo; the options are those of `create_app`."""
    with ExitStack() as stack:

        def start(**options: Any) -> Served:
            served = Served(**options)
            stack.callback(served.close)
            return served

        yield start


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()


@pytest.fixture
def visit(browser: Browser, serve: Any) -> Iterator[Callable[..., Page]]:
    """Opens a page in a fresh browser profile. In the end no script may have failed on it.

    prepare: called with the page before it loads.
    """
    failures: list[Any] = []
    with ExitStack() as stack:

        def start(served: Served, *, prepare: Callable[[Page], object] | None = None, **options: Any) -> Page:
            # Waiting for a function in the page needs eval, which the page's policy forbids. Without
            # that policy the page also has to be safe by itself.
            context = browser.new_context(**{"bypass_csp": True, "reduced_motion": "reduce", **options})
            stack.callback(context.close)
            context.add_init_script(WITNESS)
            page = context.new_page()
            # Not the bound method: listeners are given an attribute.
            page.on("pageerror", lambda error: failures.append(error))
            if prepare is not None:
                prepare(page)
            page.goto(served.url)
            return page

        yield start
    assert failures == []
