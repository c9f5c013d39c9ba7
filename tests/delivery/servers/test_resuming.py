"""What a client gets that was cut off and comes back."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest

from streamy_core import GAP

from ...support.app_server import AppServer
from ...support.event_stream import Message
from ...support.proxy import Proxy

pytestmark = pytest.mark.slow

TEXTS = [f"event {number}\n{'é' * (number % 90)}" for number in range(200)]

MALFORMED = {
    "garbage": "garbage",
    "an id of nobody's": "AAAAA.1.aaa",
    "not ASCII": "naïve",
    "half a joint cursor": "_ab",
    "a path": "../../etc/passwd",
    "HTML": "<script>",
    "a number": "17",
    "a negative number": "-1",
    "long": "x" * 4_000,
}


def read_with_cuts(
    server: AppServer, streams: list[str], start: str, count: int, *, by_header: bool, seed: int
) -> list[Message]:
    """`count` messages behind `start`, by as many connections as it takes, each cut off at some byte."""
    random = Random(seed)
    messages: list[Message] = []
    cursor = start
    while len(messages) < count:
        # A browser reconnects with the URL it began with, and the header goes before that.
        header, query = (cursor, start) if by_header else (None, cursor)
        with server.connect(*streams, last_event_id=header, after=query, keep_alive=0.05) as client:
            client.read_bytes(random.randrange(1, 4_000), at_most=count - len(messages))
            messages += client.messages
            cursor = client.last_event_id or cursor
            random.choice([client.reset, client.close])()
    return messages


@contextmanager
def publishing(server: AppServer, stream: str) -> Iterator[list[str]]:
    """Publish `TEXTS` meanwhile, in batches and one by one; the ids, complete when this is left."""
    ids: list[str] = []

    def publish() -> None:
        for first in range(0, 200, 20):
            ids.extend(server.batch(stream, TEXTS[first : first + 10]))
            ids.extend(server.send(stream, text) for text in TEXTS[first + 10 : first + 20])

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        yield ids
    finally:
        publisher.join()


@pytest.fixture(params=["header", "query"])
def by_header(request: pytest.FixtureRequest) -> bool:
    """How a client says where it was: `Last-Event-ID` or `?last_event_id=`."""
    return bool(request.param == "header")


@pytest.mark.parametrize("seed", [1, 2])
def test_a_client_cut_off_at_any_byte_gets_each_event_once(
    server: AppServer, stream: str, by_header: bool, seed: int
) -> None:
    start = server.cursor(stream)
    ids = server.batch(stream, TEXTS)
    got = read_with_cuts(server, [stream], start, 200, by_header=by_header, seed=seed)
    assert [(message.data, message.id) for message in got] == list(zip(TEXTS, ids, strict=True))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_client_cut_off_while_events_are_published_gets_each_once(
    live_server: AppServer, stream: str, by_header: bool, seed: int
) -> None:
    start = live_server.cursor(stream)
    with publishing(live_server, stream) as ids:
        got = read_with_cuts(live_server, [stream], start, 200, by_header=by_header, seed=seed)
    assert [(message.data, message.id) for message in got] == list(zip(TEXTS, ids, strict=True))


def test_a_client_cut_off_before_its_first_event_goes_on_from_where_it_connected(
    server: AppServer, stream: str
) -> None:
    with server.connect(stream) as client:
        client.read_opening()
        client.reset()
    server.send(stream, "meanwhile")
    with server.connect(stream, last_event_id=client.last_event_id) as client:
        assert [message.data for message in client.read(1)] == ["meanwhile"]


def test_a_client_back_at_the_newest_event_gets_only_what_comes_then(
    live_server: AppServer, stream: str
) -> None:
    *_, newest = live_server.batch(stream, ["one", "two"])
    with live_server.connect(stream, last_event_id=newest) as client:
        client.until(lambda: client.comments, "a comment")
        live_server.send(stream, "three")
        assert [message.data for message in client.read(1)] == ["three"]


def test_one_id_resumes_ten_streams_wherever_they_were_cut(
    server: AppServer, streams: list[str], by_header: bool
) -> None:
    start = server.cursor(*streams)
    for stream in streams:
        server.batch(stream, [f"{stream} {number}" for number in range(20)])
    got = defaultdict(list)
    for message in read_with_cuts(server, streams, start, 200, by_header=by_header, seed=3):
        stream, number = message.data.split(" ")
        got[stream].append(int(number))
    assert got == {stream: list(range(20)) for stream in streams}


def test_a_client_whose_history_is_gone_is_told_once_and_gets_what_is_left(
    forgetful_server: AppServer, stream: str
) -> None:
    cursor = forgetful_server.send(stream, "seen")
    ids = forgetful_server.batch(stream, [str(number) for number in range(20)])
    with forgetful_server.connect(stream, last_event_id=cursor) as client:
        gap, *left = client.read(6)
        client.until(lambda: client.comments, "a comment")
        assert len(client.messages) == 6
    assert gap.name == GAP
    assert json.loads(gap.data) == {"stream": stream, "from": cursor, "to": ids[14]}
    assert [(message.name, message.data, message.id) for message in left] == [
        ("message", str(number), ids[number]) for number in range(15, 20)
    ]


def test_a_client_that_was_told_of_a_gap_is_not_told_again(forgetful_server: AppServer, stream: str) -> None:
    cursor = forgetful_server.send(stream, "seen")
    forgetful_server.batch(stream, [str(number) for number in range(20)])
    with forgetful_server.connect(stream, last_event_id=cursor) as client:
        newest = client.read(6)[-1].id
    forgetful_server.send(stream, "new")
    with forgetful_server.connect(stream, last_event_id=newest) as client:
        assert [(message.name, message.data) for message in client.read(1)] == [("message", "new")]


def test_a_client_cut_off_right_behind_the_gap_gets_what_is_left_and_no_second_gap(
    forgetful_server: AppServer, stream: str
) -> None:
    cursor = forgetful_server.send(stream, "seen")
    forgetful_server.batch(stream, [str(number) for number in range(20)])
    with forgetful_server.connect(stream, last_event_id=cursor) as client:
        gap = client.read(1)[0]
    with forgetful_server.connect(stream, last_event_id=gap.id) as client:
        assert [message.data for message in client.read(5)] == ["15", "16", "17", "18", "19"]


def test_a_client_that_keeps_up_is_told_of_no_gap(live_server: AppServer, stream: str) -> None:
    with live_server.connect(stream) as client:
        client.read_opening()
        live_server.batch(stream, [str(number) for number in range(20)])
        assert GAP not in {message.name for message in client.read(20)}


@pytest.mark.parametrize("cursor", MALFORMED.values(), ids=list(MALFORMED))
def test_a_malformed_last_event_id_is_a_gap_and_no_error(server: AppServer, stream: str, cursor: str) -> None:
    newest = server.send(stream, "held")
    with server.connect(stream, last_event_id=cursor) as client:
        messages = client.read(2)
        assert client.status == 200
    assert [message.name for message in messages] == [GAP, "message"]
    assert messages[1].id == newest


def test_a_malformed_place_in_the_query_is_a_gap_and_no_error(server: AppServer, stream: str) -> None:
    server.send(stream, "held")
    with server.connect(stream, after="\r\nid: 1\0\n\n") as client:
        messages = client.read(2)
        assert client.status == 200
    assert [message.name for message in messages] == [GAP, "message"]


def test_events_published_while_the_network_is_down_arrive_when_it_is_back(
    live_server: AppServer, stream: str, proxy: Proxy
) -> None:
    with live_server.connect(stream, port=proxy.port) as client:
        client.read_opening()
        live_server.send(stream, "before")
        client.read(1)
        proxy.refuse()
    live_server.batch(stream, [str(number) for number in range(10)])
    with pytest.raises(ConnectionRefusedError):
        live_server.connect(stream, port=proxy.port)
    proxy.resume()
    with live_server.connect(stream, last_event_id=client.last_event_id, port=proxy.port) as client:
        assert [message.data for message in client.read(10)] == [str(number) for number in range(10)]
