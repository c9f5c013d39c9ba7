"""With each extension a stream is delivered, by the loop where the server allows it, and costs no thread."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

import pytest
from flask import Flask
from flask_caching import Cache

from streamy_core import StreamManager
from streamy_core.testing import EventClient
from streamy_core.testing.reading import eventually

from ...support import ROOT
from ...support.app_server import SLOTS, AppServer
from ...support.web_server import Pair
from .app import AUTOMATIC, EXTENSIONS, VARIABLE, Extension

pytestmark = pytest.mark.slow

PAIRS = (Pair("gthread", "detached", threads=1), Pair("gthread", "wsgi", threads=4))


@pytest.fixture(scope="module", params=EXTENSIONS)
def extension(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module", params=PAIRS, ids=str)
def own_server(
    request: pytest.FixtureRequest, extension: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AppServer]:
    settings = {
        VARIABLE: extension,
        SLOTS: None,
        "STREAMY_KEEP_ALIVE": 0.2,
        **EXTENSIONS[extension].environment,
    }
    app = f"{__package__}.app:create_app()"
    log = tmp_path_factory.mktemp("extensions") / "log"
    with AppServer(log, request.param, app=app, settings=settings).start() as server:
        yield server


def test_a_stream_is_delivered_and_given_up_again(own_server: AppServer, stream: str) -> None:
    headers = {"Accept-Encoding": "gzip, br", "Origin": "https://example.org", "Accept": "text/event-stream"}
    with own_server.visit(own_server.path(stream), headers=headers) as client:
        client.read_opening()
        assert client.header("Content-Encoding") == []
        for text in ("a", "b", "c"):
            own_server.send(stream, text)
        assert [message.data for message in client.read(3)] == ["a", "b", "c"]
    eventually(lambda: own_server.stats().clients == 0, "the client gone")
    assert "Traceback" not in own_server.log()


def test_a_view_that_writes_the_session_streams_too(own_server: AppServer) -> None:
    with own_server.visit("/session") as client:
        client.read_opening()
        assert client.header("Set-Cookie")
        own_server.send("news", "x")
        assert [message.data for message in client.read(1)] == ["x"]


@pytest.mark.parametrize("extension", [AUTOMATIC], indirect=True)
def test_what_instruments_by_itself_traces_a_stream_s_request(own_server: AppServer, stream: str) -> None:
    with own_server.connect(stream) as client:
        client.read_opening()
    eventually(lambda: '"name": "GET /stream"' in own_server.log(), "a span in the log")


def test_a_stream_is_kept_in_no_cache(caplog: pytest.LogCaptureFixture) -> None:
    app = Flask(__name__)
    cache = Cache(app, config={"CACHE_TYPE": "SimpleCache"})
    with StreamManager(app) as sse, EventClient(app) as client:
        app.add_url_rule("/", view_func=cache.cached()(lambda: sse.get_stream("news")))
        for text in ("a", "b"):
            with client.open("/") as events:
                sse.send_event("news", text)
                assert [event.data for event in events.events(1)] == [text]
    assert "its view's response must not be cached" in caplog.text


def test_the_page_shows_all_that_were_tried() -> None:
    page = (ROOT / "docs" / "how-to" / "around-a-stream.md").read_text("utf-8")
    shown = [line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if line.startswith("| ")]
    assert shown[1:] == list(EXTENSIONS)


def row(extension: Extension) -> str:
    """A line of the page's table, in Markdown."""
    return f"| {extension.shown} | {version(extension.distribution)} | {extension.needs} |"


if __name__ == "__main__":
    print("| extension | tried with | needs |\n|---|---|---|")
    print("\n".join(row(extension) for extension in EXTENSIONS.values()))
