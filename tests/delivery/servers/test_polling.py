"""What a client gets where streams may hold no thread: all events, by asking again and again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamy_core import END

from ...support.app_server import AppServer
from ...support.event_stream import Message
from .other_clients import NpmEventSource

pytestmark = pytest.mark.slow

ConnectNpm = Callable[..., NpmEventSource]


def test_a_client_gets_what_it_missed_and_when_to_come_back_and_the_close(
    polling_server: AppServer, stream: str
) -> None:
    cursor = polling_server.send(stream, "seen")
    polling_server.batch(stream, ["one", "two"])
    with polling_server.connect(stream, last_event_id=cursor) as client:
        assert [message.data for message in client.read_to_end()] == ["one", "two"]
        assert client.status == 200
        assert client.last_frame.retry is not None


def test_a_client_that_missed_nothing_keeps_its_place(polling_server: AppServer, stream: str) -> None:
    with polling_server.connect(stream) as client:
        assert client.read_to_end() == []
    polling_server.send(stream, "meanwhile")
    with polling_server.connect(stream, last_event_id=client.last_event_id) as client:
        assert [message.data for message in client.read_to_end()] == ["meanwhile"]


def test_a_client_that_comes_back_and_back_gets_each_event_once(
    polling_server: AppServer, stream: str
) -> None:
    cursor = polling_server.cursor(stream)
    ids: list[str] = []
    got: list[Message] = []
    for number in range(20):
        ids += polling_server.batch(stream, ["x"] * number)
        with polling_server.connect(stream, last_event_id=cursor) as client:
            got += client.read_to_end()
            cursor = client.last_event_id
    assert [message.id for message in got] == ids


def test_a_client_gets_more_than_one_page(polling_server: AppServer, stream: str) -> None:
    cursor = polling_server.cursor(stream)
    ids = polling_server.batch(stream, ["x" * 2_000] * 900)
    with polling_server.connect(stream, last_event_id=cursor) as client:
        assert [message.id for message in client.read_to_end()] == ids


def test_npm_eventsource_gets_all_and_stops_for_good_after_the_end(
    polling_server: AppServer, stream: str, connect_npm: ConnectNpm
) -> None:
    start = polling_server.cursor(stream)
    client = connect_npm(polling_server.url(stream, after=start), END)
    ids = [polling_server.send(stream, str(number)) for number in range(100)]
    assert [message.id for message in client.read(100)] == ids
    polling_server.end(stream)
    (end,) = client.read(1)
    assert end.name == END
    again = connect_npm(polling_server.url(stream, after=end.id), END)  # sooner than it was told
    assert again.wait_until_it_gives_up() == "closed 204"
