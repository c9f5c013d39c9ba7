"""What a client gets that connects and stays."""

from __future__ import annotations

import time
from collections import defaultdict

import pytest

from streamy_core import OPEN

from ...support.app_server import AppServer
from .pairs import KEEP_ALIVE, RECONNECT_DELAY

pytestmark = pytest.mark.slow

TEXTS = [f"event {number}" for number in range(200)]


def test_two_clients_each_get_every_event_published_one_by_one(live_server: AppServer, stream: str) -> None:
    with live_server.connect(stream) as first, live_server.connect(stream) as second:
        first.read_opening()
        second.read_opening()
        ids = [live_server.send(stream, text) for text in TEXTS]
        for client in (first, second):
            assert [(message.data, message.id) for message in client.read(200)] == list(
                zip(TEXTS, ids, strict=True)
            )


def test_two_clients_each_get_every_event_published_at_once(live_server: AppServer, stream: str) -> None:
    with live_server.connect(stream) as first, live_server.connect(stream) as second:
        first.read_opening()
        second.read_opening()
        ids = live_server.batch(stream, TEXTS)
        for client in (first, second):
            assert [(message.data, message.id) for message in client.read(200)] == list(
                zip(TEXTS, ids, strict=True)
            )


def test_a_client_gets_nothing_of_other_streams(live_server: AppServer, streams: list[str]) -> None:
    mine, other = streams[:2]
    with live_server.connect(mine) as client:
        client.read_opening()
        live_server.send(other, "not for me")
        live_server.send(mine, "for me")
        assert [message.data for message in client.read(1)] == ["for me"]


def test_ten_streams_come_over_one_connection_each_in_its_order(
    live_server: AppServer, streams: list[str]
) -> None:
    with live_server.connect(*streams) as client:
        client.read_opening()
        for number in range(10):
            for stream in streams:
                live_server.send(stream, f"{stream} {number}")
        got = defaultdict(list)
        for message in client.read(100):
            stream, text = message.data.split(" ")
            got[stream].append(int(text))
    assert got == {stream: list(range(10)) for stream in streams}


def test_the_id_of_ten_streams_is_short_enough_for_a_request_header(
    live_server: AppServer, streams: list[str]
) -> None:
    assert too_long_ids(live_server, streams) == []


def test_the_id_is_short_enough_whatever_the_ten_streams_are_called(live_server: AppServer) -> None:
    # Two of these names, 38 and 69, have the same short tag, as 1 in 90 choices of ten names do.
    names = [f"room:{number}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 38, 69)]
    assert too_long_ids(live_server, names) == []


def too_long_ids(server: AppServer, streams: list[str]) -> list[str]:
    """Ids that are empty or too long, of those that a client of these streams gets."""
    with server.connect(*streams) as client:
        ids = {client.read_opening().id or ""}
        for stream in streams:
            server.batch(stream, TEXTS)
        ids |= {message.id for message in client.read(2_000)}
    return sorted(one for one in ids if len(one) not in range(1, 129))


def test_the_head_comes_before_any_event_and_any_keep_alive(server: AppServer, stream: str) -> None:
    with server.connect(stream, keep_alive=1) as client:
        client.read_opening()
        assert (client.status, client.messages, client.comments) == (200, [], [])


def test_the_first_frame_tells_place_reconnection_time_and_keep_alive(server: AppServer, stream: str) -> None:
    with server.connect(stream) as client:
        frame = client.read_opening()
    assert (frame.id, frame.retry) == (server.cursor(stream), RECONNECT_DELAY * 1000)
    assert (frame.name, frame.data) == (OPEN, f'{{"keep_alive": {KEEP_ALIVE}}}')


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Type", "text/event-stream"),
        ("Cache-Control", "no-store, no-transform"),
        ("X-Accel-Buffering", "no"),
    ],
)
def test_the_header_is_sent_once_and_exactly_so(
    server: AppServer, stream: str, name: str, value: str
) -> None:
    with server.connect(stream) as client:
        client.read_head()
        assert client.header(name) == [value]


def test_the_app_leaves_the_connection_header_to_the_server(server: AppServer, stream: str) -> None:
    with server.connect(stream) as client:
        client.read_head()
        assert client.status == 200  # waitress refuses a hop-by-hop header from an app
        assert len(client.header("Connection")) <= 1


def test_the_body_is_not_compressed_and_has_no_length(server: AppServer, stream: str) -> None:
    with server.connect(stream) as client:
        client.read_head()
        assert client.header("Content-Encoding") + client.header("Content-Length") == []


def test_an_idle_connection_gets_keep_alive_comments(server: AppServer, stream: str) -> None:
    with server.connect(stream, keep_alive=0.2) as client:
        client.read_opening()
        began = time.monotonic()
        client.until(lambda: len(client.comments) >= 3, "three comments")
        assert time.monotonic() - began > 0.35
        assert client.messages == []


def test_a_keep_alive_does_not_change_the_place_to_go_on_from(server: AppServer, stream: str) -> None:
    with server.connect(stream) as client:
        cursor = client.read_opening().id
        client.until(lambda: client.comments, "a comment")
        assert client.last_event_id == cursor
