"""What clients leave behind when they go: nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ...support.app_server import AppServer
from ...support.raw_client import RawClient

pytestmark = pytest.mark.slow

KEEP_ALIVE = 0.02
"""Seconds. A server learns that a client has gone when it writes to it."""


def reset_unread(client: RawClient) -> None:
    client.reset()


def close_unread(client: RawClient) -> None:
    client.close()


def close_after_reading(client: RawClient) -> None:
    client.read_opening()
    client.close()


def reset_after_reading(client: RawClient) -> None:
    client.read_opening()
    client.reset()


def reset_amid_the_head(client: RawClient) -> None:
    client.read_bytes(20)
    client.reset()


def close_amid_the_head(client: RawClient) -> None:
    client.read_bytes(20)
    client.close()


WAYS = [
    reset_unread,
    close_unread,
    close_after_reading,
    reset_after_reading,
    reset_amid_the_head,
    close_amid_the_head,
]


def test_head_requests_leave_nothing_behind(server: AppServer, stream: str) -> None:
    base = server.settled()
    for _ in range(20):
        assert server.request("HEAD", server.path(stream)).status == 200
    server.settles_to(base)


def test_a_head_request_gets_the_headers_of_the_stream(server: AppServer, stream: str) -> None:
    reply = server.request("HEAD", server.path(stream))
    assert ("Content-Type", "text/event-stream") in reply.headers
    assert reply.body == b""


@pytest.mark.parametrize("leave", [reset_unread, close_unread])
def test_clients_that_leave_before_they_read_leave_nothing_behind(
    server: AppServer, stream: str, leave: Callable[[RawClient], None]
) -> None:
    base = server.settled()
    for _ in range(10):
        with server.connect(stream, keep_alive=KEEP_ALIVE) as client:
            leave(client)
    server.settles_to(base)


def test_a_hundred_clients_that_come_and_go_leave_nothing_behind(server: AppServer, stream: str) -> None:
    base = server.settled()
    for number in range(100):
        with server.connect(stream, keep_alive=KEEP_ALIVE) as client:
            WAYS[number % len(WAYS)](client)
    server.settles_to(base)


def test_clients_that_stay_to_the_end_leave_nothing_behind(live_server: AppServer, stream: str) -> None:
    base = live_server.settled()
    clients = [live_server.connect(stream) for _ in range(8)]
    for client in clients:
        client.read_opening()
    live_server.end(stream)
    for client in clients:
        client.read_to_end()
        client.close()
    live_server.settles_to(base)


def test_clients_of_many_streams_leave_nothing_behind(server: AppServer, streams: list[str]) -> None:
    base = server.settled()
    for number in range(20):
        with server.connect(*streams, keep_alive=KEEP_ALIVE) as client:
            WAYS[number % len(WAYS)](client)
    server.settles_to(base)


def test_a_client_that_leaves_takes_nothing_from_those_who_stay(live_server: AppServer, stream: str) -> None:
    with live_server.connect(stream) as staying:
        staying.read_opening()
        for number in range(50):
            with live_server.connect(stream, keep_alive=KEEP_ALIVE) as client:
                WAYS[number % len(WAYS)](client)
            live_server.send(stream, str(number))
        assert [message.data for message in staying.read(50)] == [str(number) for number in range(50)]


@pytest.mark.parametrize("leave", WAYS)
def test_a_client_that_leaves_writes_no_traceback(
    server: AppServer, stream: str, leave: Callable[[RawClient], None]
) -> None:
    base, written = server.settled(), len(server.log())
    with server.connect(stream, keep_alive=KEEP_ALIVE) as client:
        leave(client)
    server.settles_to(base)
    assert "Traceback" not in server.log(written)
