"""Clients that others have written understand what they get."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamy_core import END

from ...support.app_server import AppServer
from ...support.event_stream import Message
from ...support.proxy import Proxy
from .other_clients import Client, NpmEventSource

pytestmark = pytest.mark.slow

Connect = Callable[..., Client]
ConnectNpm = Callable[..., NpmEventSource]


def test_the_client_reads_ids(gthread_server: AppServer, stream: str, connect: Connect) -> None:
    client = connect(gthread_server.url(stream))
    ids = [gthread_server.send(stream, str(number)) for number in range(20)]
    assert [message.id for message in client.read(20)] == ids


def test_the_client_reads_names(gthread_server: AppServer, stream: str, connect: Connect) -> None:
    client = connect(gthread_server.url(stream), "price", "größe")
    for name in (None, "price", "größe", "message"):
        gthread_server.send(stream, "x", name)
    assert [message.name for message in client.read(4)] == ["message", "price", "größe", "message"]


def test_the_client_reads_data_of_many_lines(
    gthread_server: AppServer, stream: str, connect: Connect
) -> None:
    client = connect(gthread_server.url(stream))
    texts = [
        "one\ntwo",
        "\nbetween empty lines\n",
        " indented\n\n\tby a tab",
        "data: x\nid: 9\n\n: no",
    ]
    gthread_server.batch(stream, texts)
    assert [message.data for message in client.read(4)] == texts


def test_the_client_reads_carriage_returns_as_line_breaks(
    gthread_server: AppServer, stream: str, connect: Connect
) -> None:
    client = connect(gthread_server.url(stream))
    gthread_server.send(stream, "one\r\ntwo\rthree")
    assert client.read(1)[0].data == "one\ntwo\nthree"


def test_the_client_reads_any_text(gthread_server: AppServer, stream: str, connect: Connect) -> None:
    client = connect(gthread_server.url(stream))
    texts = ["Grüße", "日本語", "👩🏽‍🚀", "\u2028 and \u2029 and \x0b and \x85", "é" * 50_000, "\ufeffmark"]
    gthread_server.batch(stream, texts)
    assert [message.data for message in client.read(6)] == texts


def test_the_client_goes_on_from_a_place_in_the_url(
    gthread_server: AppServer, stream: str, connect: Connect
) -> None:
    start = gthread_server.send(stream, "seen")
    gthread_server.send(stream, "missed")
    client = connect(gthread_server.url(stream, after=start))
    assert [message.data for message in client.read(1)] == ["missed"]


def test_the_client_reconnects_without_losing_or_repeating_an_event(
    gthread_server: AppServer, stream: str, gthread_proxy: Proxy, connect_for_good: Connect
) -> None:
    start = gthread_server.cursor(stream)
    client = connect_for_good(gthread_server.url(stream, port=gthread_proxy.port, after=start))
    got: list[Message] = []
    ids: list[str] = []
    for _ in range(5):
        ids += gthread_server.batch(stream, ["x"] * 10)
        got += client.read(10)
        ids += gthread_server.batch(stream, ["on their way when the network breaks"] * 10)
        gthread_proxy.cut()
        ids += gthread_server.batch(stream, ["while it is broken"] * 10)
        got += client.read(20)
    assert [message.id for message in got] == ids
    assert gthread_proxy.accepted >= 6


def test_the_client_gets_what_was_published_while_nobody_could_connect(
    gthread_server: AppServer, stream: str, gthread_proxy: Proxy, connect_npm: ConnectNpm
) -> None:
    client = connect_npm(gthread_server.url(stream, port=gthread_proxy.port))
    gthread_server.send(stream, "before")
    client.read(1)
    gthread_proxy.refuse()
    client.wait_for("reconnecting")
    gthread_server.batch(stream, [str(number) for number in range(10)])
    gthread_proxy.resume()
    assert [message.data for message in client.read(10)] == [str(number) for number in range(10)]


def test_npm_eventsource_is_open_before_any_event(
    gthread_server: AppServer, stream: str, connect_npm: ConnectNpm
) -> None:
    client = connect_npm(gthread_server.url(stream))
    assert client.states == ["open"]


def test_npm_eventsource_stops_for_good_after_the_end(
    gthread_server: AppServer, stream: str, connect_npm: ConnectNpm
) -> None:
    url = gthread_server.url(stream)
    client = connect_npm(url, END)
    gthread_server.send(stream, "last")
    gthread_server.end(stream)
    last, end = client.read(2)
    assert (last.name, end.name) == ("message", END)
    client.wait_for("reconnecting")  # it waits for some seconds, as it was told
    again = connect_npm(f"{url}&last_event_id={end.id}", END)
    assert again.wait_until_it_gives_up() == "closed 204"
    assert gthread_server.calls(stream) == 2
