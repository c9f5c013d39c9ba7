"""Every server as people run it, with nothing set: it delivers as the page says, and nothing stops it."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

import pytest

from streamy_core.testing.reading import eventually

from ...support import ROOT
from ...support.app_server import SLOTS, AppServer
from ...support.web_server import Pair
from .table import DETACHED, ROWS, UNKNOWN, Row, installed, lines

pytestmark = pytest.mark.slow

QUICK: Final = 2.0
"""Seconds for another view."""
VERSION: Final = re.compile(r"(?<=\| )[\d.]+(?= \|)")
"""Which the page shows as it was when the table was made."""


@pytest.fixture(scope="module", params=ROWS, ids=str)
def row(request: pytest.FixtureRequest) -> Row:
    return installed(request.param)


def small(row: Row, folder: Path) -> AppServer:
    """As few threads as the row says. Not started yet."""
    slots = row.threads // 2 if row.how == UNKNOWN else None
    settings = {"STREAMY_DELIVERY": None, SLOTS: slots, "STREAMY_RECONNECT_DELAY": 0.1}
    return AppServer(folder / "log", row.pair, settings=settings)


@pytest.fixture
def small_server(row: Row, tmp_path: Path) -> Iterator[AppServer]:
    with small(row, tmp_path).start() as server:
        yield server
        server.kill()


class Crowded:
    """A small server, asked for more streams than it has threads."""

    def __init__(self, server: AppServer, clients: int) -> None:
        self.server = server
        self._clients = clients
        self._opened = ExitStack()

    def fill(self) -> None:
        """Start it, if it has ended or not begun, and ask for the streams."""
        if self.server.running:
            return
        self.close()
        self.server.start()
        try:
            for _ in range(self._clients):
                self._opened.enter_context(self.server.connect("news")).read_head()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._opened.close()
        self.server.kill()


@pytest.fixture(scope="module")
def crowd(row: Row, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowded]:
    with closing(Crowded(small(row, tmp_path_factory.mktemp("table")), 2 * row.threads)) as crowd:
        yield crowd


@pytest.fixture
def crowded_server(crowd: Crowded) -> AppServer:
    """Its clients, twice as many as it has threads, are there from one test to the next."""
    crowd.fill()
    return crowd.server


def polled(server: AppServer, stream: str, *, after: str) -> list[str]:
    """What a client gets that asks until there is something: a poll may come before the hub has looked."""
    got: list[str] = []

    def asks() -> bool:
        with server.connect(stream, last_event_id=after) as client:
            got.extend(message.data for message in client.read_to_end())
        return bool(got)

    eventually(asks, f"an event after {after}")
    return got


def test_a_client_gets_every_event(small_server: AppServer, row: Row, stream: str) -> None:
    ids = [small_server.cursor(stream)]
    got: list[str] = []
    if row.is_live:
        with small_server.connect(stream) as client:
            client.read_opening()
            ids += [small_server.send(stream, text) for text in ("a", "b", "c")]
            got = [message.data for message in client.read(3)]
    else:
        for text in ("a", "b", "c"):
            sent = small_server.send(stream, text)
            got += polled(small_server, stream, after=ids[-1])
            ids.append(sent)
    assert got == ["a", "b", "c"]


def test_a_view_answers_while_more_streams_are_asked_for_than_there_are_threads(
    crowded_server: AppServer, row: Row
) -> None:
    began = time.monotonic()
    assert crowded_server.ask("/hello") == b"hello"
    assert time.monotonic() - began < QUICK
    if row.how == DETACHED:
        assert crowded_server.health().clients == 2 * row.threads


def test_it_stops_while_streams_are_open(crowded_server: AppServer, row: Row) -> None:
    crowded_server.signal(signal.SIGTERM)
    crowded_server.wait(row.stops)


def test_the_page_shows_this_table() -> None:
    page = (ROOT / "docs" / "reference" / "servers.md").read_text("utf-8")
    shown = [VERSION.sub("", line) for line in page.splitlines() if line.startswith("|")]
    assert [VERSION.sub("", line) for line in lines()] == shown


def test_streams_leave_half_of_a_pool_of_greenlets(tmp_path: Path, stream: str) -> None:
    settings = {"STREAMY_DELIVERY": None, SLOTS: None}
    options = ("--worker-connections", "8")
    server = AppServer(tmp_path / "log", Pair("gevent", "wsgi"), settings=settings, options=options)
    with server.start(), ExitStack() as to_close:
        for _ in range(12):
            to_close.enter_context(server.connect(stream)).read_head()
        assert server.ask("/hello") == b"hello"
        assert server.health().clients == 4
