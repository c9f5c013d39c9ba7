"""Whatever comes in: never a 5xx, a hang, an event that nobody published, or a password in a text."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from typing import Any, Final

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamy_backends.redis.entries import decode
from streamy_backends.sql.pages import Row, State, page_after, parts_of
from streamy_core import StreamManager
from streamy_core.delivery.detached.takeover import encode_head, is_plain_head
from streamy_core.engine.checks import check_page, usable_cursor
from streamy_core.engine.frames import Framing
from streamy_core.errors import InvalidEvent
from streamy_core.events import END, GAP, OPEN, Page
from streamy_core.ids import OLDEST, UNPLACEABLE, encode_number, make_id, sequence_of, split_cursor
from streamy_core.testing.event_stream import EventStreamParser
from streamy_core.testing.reading import DEADLINE

from ..support.app_server import AppServer
from ..support.event_stream import FrameReader
from ..support.secrets import PART, told_of
from ..support.web_server import Pair
from .inputs import Sent, anything, configs, cursors, headers, pages, requests, rows, texts_of_redis

COUNT: Final = int(os.environ.get("TEST_FUZZ", "20000"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(max(120, COUNT / 100))]

PUBLISHED: Final = frozenset(f"published {n}" for n in range(5))
OWN: Final = (OPEN, GAP, END)


def share(of: float) -> settings:
    """Such a share of all inputs."""
    count = max(1, round(COUNT * of))
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


def assert_sound(data: bytes) -> FrameReader:
    """All frames are of the form, and every event was published, or is one of Streamy's own."""
    reader = FrameReader()
    reader.feed(data)
    foreign = [one for one in reader.messages if one.data not in PUBLISHED and one.name not in OWN]
    assert not foreign, foreign
    return reader


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
        app.extensions["spelled"] = {*known, sse.cursor("other"), sse.cursor("empty"), OLDEST, UNPLACEABLE}
        known += [sse.cursor(["news", "other"]), sse.cursor(["news", "empty"]), sse.cursor("other")]

        @app.get("/<streams>")
        def stream(streams: str) -> Any:
            return sse.get_stream(streams.split(","))

        yield app


@share(0.225)
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
        if response.status_code == 200:
            opening = assert_sound(next(iter(response.iter_encoded()))).frames[0]
            # A place has one spelling, whichever it was asked for by. Before the oldest entry there is none.
            names = streams.split(",")
            place = OLDEST if opening.id is None else opening.id
            assert set(split_cursor(place, names).values()) <= app.extensions["spelled"]
            assert place != OLDEST or split_cursor(cursor, names) == dict.fromkeys(names, OLDEST)


@share(0.05)
@given(cursor=cursors(["e.1.abc", "e.10.abc", "abcde.G3.x-_"]))
def test_spellings(cursor: str) -> None:
    sequence, parts = sequence_of(cursor), parts_of(cursor)
    assert sequence is None or encode_number(sequence) == cursor.split(".")[1]
    assert parts is None or make_id(*parts) == cursor


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
    ends = isinstance(page, Page) and page.ended
    for frame in frames:
        assert usable_cursor(frame.entry.id)
        (found,) = FrameReader().feed(frame.encode(frame.entry.id, Framing()))
        assert found.id == frame.entry.id
        assert found.name not in OWN or frame.gap or (frame is frames[-1] and ends)


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
    assert all(usable_cursor(entry.id) for entry in entries)
    assert_frames(Page(entries, entries[-1].id if entries else "e.0.abc"), "e.0.abc")


@share(0.1)
@given(found=rows(), head=st.integers(0, 5), end=st.none() | st.just("abc") | anything)
def test_rows_of_a_database(found: list[Row], head: int, end: Any) -> None:
    page = page_after("news", parts_of("e.1.abc"), State("e", head, end), found, 10, 1_000)
    if page is not None:
        assert all(usable_cursor(entry.id) for entry in page.entries)
        assert_frames(page, "e.1.abc")


# -- configs


@share(0.025)
@given(config=configs())
def test_configs(config: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    told = told_of(config, caplog)
    assert PART not in told, told
    assert "Traceback" not in caplog.text


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
        events = EventStreamParser().feed(body)
        assert all(event.data in PUBLISHED for event in events if event.type not in OWN)


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
