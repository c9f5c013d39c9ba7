"""Whatever comes in: never a 5xx, a hang, an event that nobody published, or a password in a text."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamy_backends.redis.entries import decode
from streamy_backends.sql.pages import Row, State, page_after, parts_of
from streamy_core import StreamManager
from streamy_core.delivery.detached.takeover import encode_head, is_plain_head
from streamy_core.engine.checks import check_page
from streamy_core.errors import InvalidEvent
from streamy_core.events import END, GAP, Page
from streamy_core.testing.reading import DEADLINE

from ..support.app_server import AppServer
from ..support.event_stream import FrameReader
from ..support.web_server import Pair
from .inputs import Sent, anything, cursors, headers, pages, requests, rows, texts_of_redis

pytestmark = pytest.mark.slow

COUNT: Final = int(os.environ.get("TEST_FUZZ", "20000"))
PUBLISHED: Final = frozenset(f"published {n}" for n in range(5))
OWN: Final = (GAP, END)


def share(of: float) -> settings:
    """Such a share of all inputs."""
    count = max(1, round(COUNT * of))
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


def assert_sound(data: bytes) -> None:
    """All frames are of the form, and every event was published, or is one of Streamy's own."""
    reader = FrameReader()
    reader.feed(data)
    foreign = [one for one in reader.messages if one.data not in PUBLISHED and one.name not in OWN]
    assert not foreign, foreign


# -- cursors


@pytest.fixture(scope="module")
def app() -> Iterator[Flask]:
    app = Flask(__name__)
    with StreamManager(app) as sse:
        app.extensions["sse"] = sse
        app.extensions["known"] = known = []
        for data in sorted(PUBLISHED):
            known += [sse.send_event("news", data), sse.send_event("other", data)]
        sse.end_stream("other")
        known += [sse.cursor(["news", "other"]), sse.cursor(["news", "empty"]), sse.cursor("other")]

        @app.get("/<streams>")
        def stream(streams: str) -> Any:
            return sse.get_stream(streams.split(","))

        yield app


@share(0.3)
@given(data=st.data())
def test_cursors(app: Flask, data: st.DataObject) -> None:
    streams = data.draw(st.sampled_from(["news", "other", "empty", "news,other", "news,empty,other"]))
    cursor = data.draw(cursors(app.extensions["known"]))
    sent: dict[str, Any] = (
        {"headers": {"Last-Event-ID": cursor}}
        if data.draw(st.booleans())
        else {"query_string": {"last_event_id": cursor}}
    )
    with app.test_client().get(f"/{streams}", **sent) as response:
        assert response.status_code in (200, 204)
        with suppress(StopIteration):
            assert_sound(next(iter(response.iter_encoded())))


# -- headers


@share(0.15)
@given(given=headers, event_name=st.text(max_size=8) | st.just("message"))
def test_headers(app: Flask, given: dict[str, str], event_name: str) -> None:
    with app.test_request_context("/"):
        try:
            response = app.extensions["sse"].get_stream("news", event_name, given)
        except (InvalidEvent, ValueError):
            return
        given_out = response.headers.to_wsgi_list()
        response.close()
    if not is_plain_head(given_out):
        return
    *lines, blank, rest = encode_head("200 OK", given_out, chunked=True).decode("latin-1").split("\r\n")
    assert (blank, rest) == ("", "")
    assert lines[1 : 1 + len(given_out)] == [f"{name}: {value}" for name, value in given_out]
    framing = [line for line in lines if re.match("content-length|transfer-encoding", line, re.IGNORECASE)]
    assert framing == ["Transfer-Encoding: chunked"]


# -- what backends hand over


def assert_frames(page: Any, cursor: str) -> None:
    frames, checked = check_page("news", cursor, page, lambda *damage: None)
    assert isinstance(checked, Page) or checked is page
    for frame in frames:
        (found,) = FrameReader().feed(frame.encode("e.9.abc", b""))
        assert found.id == "e.9.abc"
        assert found.name not in OWN or frame.gap or frame.ends


@share(0.15)
@given(page=pages, cursor=st.sampled_from(["", "e.1.abc", "x"]))
def test_pages_of_somebodys_broker(page: Any, cursor: str) -> None:
    assert_frames(page, cursor)


@share(0.1)
@given(texts=texts_of_redis)
def test_entries_of_redis(texts: list[bytes]) -> None:
    even = texts[: len(texts) // 2 * 2]
    entries = decode("news", "e", 0, even)
    assert len(entries) == len(even) // 2
    assert_frames(Page(entries, entries[-1].id if entries else "e.0.abc"), "e.0.abc")


@share(0.1)
@given(found=st.lists(rows, max_size=4), head=st.integers(0, 5), end=st.none() | st.just("abc") | anything)
def test_rows_of_a_database(found: list[Row], head: int, end: Any) -> None:
    page = page_after("news", parts_of("e.1.abc"), State("e", head, end), found, 10, 1_000)
    if page is not None:
        assert_frames(page, "e.1.abc")


# -- requests around the take-over


@pytest.fixture(scope="module", params=["detached", "wsgi"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    log = tmp_path_factory.mktemp("fuzz") / "log"
    with AppServer(log, Pair("gthread", request.param, threads=16)).start() as server:
        for data in sorted(PUBLISHED):
            server.send("news", data)
        yield server
        assert "Traceback" not in log.read_text()
        assert server.ask("/hello") == b"hello"


@share(0.1)
@given(sent=requests())
def test_requests(server: AppServer, sent: Sent) -> None:
    answer = answer_to(server.address, sent)
    statuses = [int(code) for code in re.findall(rb"^HTTP/1\.[01] (\d{3}) ", answer, re.MULTILINE)]
    # gunicorn's own: what is asked for isn't implemented, by it.
    assert all(status < 500 or status in (501, 505) for status in statuses), answer
    for body in re.findall(rb"text/event-stream.*?\r\n\r\n(.*)", answer, re.DOTALL):
        data = [line.decode() for line in re.findall(rb"^data: (.*)$", body, re.MULTILINE)]
        assert set(data) <= PUBLISHED or b"event: streamy.gap" in body


def answer_to(address: tuple[str, int], sent: Sent) -> bytes:
    """What comes until the connection ends, or a stream has begun. Fails if nothing comes in time."""
    answer = b""
    with socket.create_connection(address, DEADLINE) as sock:
        try:
            for piece in sent.pieces:
                sock.sendall(piece)
            sock.shutdown(socket.SHUT_WR)  # else an unfinished request is waited for
            while data := sock.recv(65_536):
                answer += data
                if b"text/event-stream" in answer and b"\n\n" in answer.partition(b"\r\n\r\n")[2]:
                    break
        except (ConnectionResetError, BrokenPipeError):
            pass  # it has been refused before it was read
    return answer
