"""What the end of a stream is to those who read it."""

from __future__ import annotations

import pytest

from streamy_core import END

from ...support.app_server import AppServer

pytestmark = pytest.mark.slow


def test_connected_clients_get_what_is_left_and_the_end_and_the_close(
    live_server: AppServer, stream: str
) -> None:
    with live_server.connect(stream) as first, live_server.connect(stream) as second:
        first.read_opening()
        second.read_opening()
        live_server.batch(stream, ["one", "two"])
        live_server.end(stream)
        for client in (first, second):
            messages = client.read_to_end()
            assert [message.data for message in messages[:-1]] == ["one", "two"]
            assert messages[-1].name == END


@pytest.fixture
def id_of_the_end(server: AppServer, stream: str) -> str:
    """The id that a client has got with the end of `stream`."""
    cursor = server.send(stream, "last")
    server.end(stream)
    with server.connect(stream, last_event_id=cursor) as client:
        return client.read_to_end()[-1].id


def test_a_client_back_after_having_seen_the_end_gets_204(
    server: AppServer, stream: str, id_of_the_end: str
) -> None:
    with server.connect(stream, last_event_id=id_of_the_end) as client:
        client.read_head()
        assert client.status == 204


def test_a_204_has_no_body(server: AppServer, stream: str, id_of_the_end: str) -> None:
    reply = server.request("GET", server.path(stream, after=id_of_the_end))
    assert (reply.status, reply.body) == (204, b"")


def test_a_client_back_without_having_seen_the_end_gets_what_is_left_and_the_end(
    server: AppServer, stream: str
) -> None:
    cursor = server.send(stream, "seen")
    server.batch(stream, ["one", "two"])
    server.end(stream)
    with server.connect(stream, last_event_id=cursor) as client:
        messages = client.read_to_end()
    assert [message.data for message in messages[:-1]] == ["one", "two"]
    assert messages[-1].name == END


def test_a_client_that_has_seen_all_but_the_end_gets_the_end(server: AppServer, stream: str) -> None:
    newest = server.send(stream, "seen")
    server.end(stream)
    with server.connect(stream, last_event_id=newest) as client:
        assert [message.name for message in client.read_to_end()] == [END]


def test_publishing_after_the_end_is_an_error(server: AppServer, stream: str) -> None:
    server.end(stream)
    reply = server.request("POST", f"/send/{stream}", b"too late")
    assert (reply.status, b"has ended" in reply.body) == (409, True)


def test_what_is_refused_after_the_end_reaches_nobody(server: AppServer, stream: str) -> None:
    newest = server.send(stream, "seen")
    server.end(stream)
    server.request("POST", f"/send/{stream}", b"too late")
    with server.connect(stream, last_event_id=newest) as client:
        assert [message.name for message in client.read_to_end()] == [END]


def test_a_connection_lasts_until_the_last_of_its_streams_has_ended(
    live_server: AppServer, streams: list[str]
) -> None:
    first, second = streams[:2]
    with live_server.connect(first, second) as client:
        client.read_opening()
        live_server.end(first)
        client.read(1)
        live_server.send(second, "still there")
        live_server.end(second)
        assert [(message.name, message.data == "still there") for message in client.read_to_end()] == [
            (END, False),
            ("message", True),
            (END, False),
        ]
