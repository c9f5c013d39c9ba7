"""Signals tell what happens to clients, whichever way they are served, and disturb nobody."""

from __future__ import annotations

import io
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from threading import Event
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, Protocol, cast

import pytest
from blinker import NamedSignal
from flask import Flask, Response, has_app_context, request
from werkzeug.test import EnvironBuilder

from streamy_backends.memory import Limits, MemoryBroker
from streamy_core import OLDEST, StreamManager
from streamy_core.observers import DisconnectReason, GapCause
from streamy_core.signals import (
    client_connected,
    client_disconnected,
    gap,
    slow_client,
    stream_ended,
)
from streamy_core.strategies.slow_clients import Lag, Verdict
from streamy_core.testing.reading import DEADLINE, eventually

pytestmark = pytest.mark.timeout(20)

SIGNALS: Final = (client_connected, client_disconnected, stream_ended, gap, slow_client)
HISTORY: Final = 5


class Told(NamedTuple):
    """A signal that was sent."""

    signal: NamedSignal
    sender: object
    news: dict[str, Any]
    app_context: bool


class Guest(Protocol):
    """A client, which has got its first frame when it is made."""

    def read_until(self, end: bytes) -> bytes: ...

    def read_to_the_close(self) -> bytes: ...

    def close(self) -> None: ...


class GeneratorGuest:
    """One whose thread, the test's own, takes the bytes out of the body."""

    def __init__(self, app: Flask, path: str) -> None:
        self._response = app.test_client().get(path, buffered=False)
        self._body = self._response.iter_encoded()
        self.received = next(self._body)

    def read_until(self, end: bytes) -> bytes:
        while end not in self.received:
            self.received += next(self._body)
        return self.received

    def read_to_the_close(self) -> bytes:
        self.received += b"".join(self._body)
        self.close()
        return self.received

    def close(self) -> None:
        self._response.close()


class DetachedGuest:
    """One that was taken over from a server which does what gunicorn does."""

    def __init__(self, app: Flask, path: str) -> None:
        self._sock, servers = socket.socketpair()
        self._sock.settimeout(DEADLINE)
        environ = EnvironBuilder(path=path, base_url="http://localhost/").get_environ()
        environ["gunicorn.socket"] = servers
        environ["wsgi.input"] = SimpleNamespace(
            reader=SimpleNamespace(length=0, unreader=SimpleNamespace(buf=io.BytesIO()))
        )
        with servers:
            body = app(environ, lambda *_: lambda _: None)
            assert list(body) == []
            cast(Any, body).close()
        self.received = b""
        self.read_until(b"retry:")

    def read_until(self, end: bytes) -> bytes:
        while end not in self.received:
            data = self._sock.recv(65_536)
            assert data, f"closed before {end!r}"
            self.received += data
        return self.received

    def read_to_the_close(self) -> bytes:
        while data := self._sock.recv(65_536):
            self.received += data
        return self.received

    def close(self) -> None:
        self._sock.close()


Visit = Callable[..., Guest]


class House:
    """An app whose clients are served one way, and all the signals that it sends."""

    def __init__(self, delivery: str, **settings: Any) -> None:
        self.delivery = delivery
        self.told: list[Told] = []
        self.broker = MemoryBroker(Limits(history=HISTORY))
        app = Flask(__name__)
        app.config["STREAMY_DELIVERY"] = delivery
        self.sse = StreamManager(app, broker=self.broker, **settings)
        self._app = app
        self._opened = ExitStack()
        self._opened.callback(self.broker.close)
        self._opened.callback(self.sse.close)
        app.add_url_rule("/<path:names>", view_func=self._view)
        for signal in SIGNALS:
            self.listen(signal, self._recorder(signal))

    def listen(self, signal: NamedSignal, receiver: Callable[..., None]) -> None:
        """Connect a receiver for as long as the house stands."""
        signal.connect(receiver, self.sse, weak=False)
        self._opened.callback(signal.disconnect, receiver, self.sse)

    def visit(self, path: str = "/news?key=me") -> Guest:
        kind = GeneratorGuest if self.delivery == "wsgi" else DetachedGuest
        return self._opened.enter_context(closing(kind(self._app, path)))

    def news(self, signal: NamedSignal, count: int = 1) -> list[dict[str, Any]]:
        """What this signal has said, once there has been so much of it."""
        eventually(lambda: len(self._news(signal)) >= count, f"{count} times {signal.name}")
        return self._news(signal)

    @property
    def level(self) -> int:
        """How many clients are served by what the hub reads."""
        binding = self.sse.binding
        if self.delivery == "wsgi":
            return sum(
                len(feed.readers) for name, feed in binding.engine.hub._feeds.items() if name == "news"
            )
        loop = binding.delivery._detached._loop
        return sum(len(group.members) for group in list(loop._leading.values())) if loop else 0

    def close(self) -> None:
        self._opened.close()

    def _view(self, names: str) -> Response:
        after = OLDEST if "oldest" in request.args else None
        return self.sse.get_stream(names.split(","), after=after, key=request.args.get("key"))

    def _news(self, signal: NamedSignal) -> list[dict[str, Any]]:
        return [told.news for told in self.told if told.signal is signal]

    def _recorder(self, signal: NamedSignal) -> Callable[..., None]:
        def record(sender: object, **news: Any) -> None:
            self.told.append(Told(signal, sender, news, has_app_context()))

        return record


@pytest.fixture
def make_house() -> Iterator[Callable[..., House]]:
    with ExitStack() as opened:
        yield lambda delivery, **settings: opened.enter_context(closing(House(delivery, **settings)))


@pytest.fixture(params=["wsgi", "detached"])
def delivery(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def house(make_house: Callable[..., House], delivery: str) -> House:
    return make_house(delivery)


def test_who_connects_is_told_with_streams_and_key_and_delivery(house: House) -> None:
    house.visit("/a,b?key=me")
    assert house.news(client_connected) == [{"streams": ("a", "b"), "key": "me", "delivery": house.delivery}]


def test_a_client_without_a_key_has_none(house: House) -> None:
    house.visit("/news")
    assert house.news(client_connected)[0]["key"] is None


def test_the_sender_is_the_manager(house: House) -> None:
    house.visit()
    house.news(client_connected)
    assert {told.sender for told in house.told} == {house.sse}


def test_who_leaves_is_gone(house: House) -> None:
    house.visit("/a,b?key=me").close()
    assert house.news(client_disconnected) == [
        {"streams": ("a", "b"), "key": "me", "delivery": house.delivery, "reason": "gone"}
    ]


def test_whose_streams_end_has_come_to_the_end(house: House) -> None:
    guest = house.visit()
    house.sse.end_stream("news")
    guest.read_to_the_close()
    assert [news["reason"] for news in house.news(client_disconnected)] == ["ended"]


def test_who_is_sent_away_was_disconnected(house: House) -> None:
    guest = house.visit()
    house.sse.disconnect(key="me")
    guest.read_to_the_close()
    assert [news["reason"] for news in house.news(client_disconnected)] == ["disconnected"]


def test_the_connection_of_who_stays_too_long_has_expired(
    make_house: Callable[..., House], delivery: str
) -> None:
    house = make_house(delivery, max_connection_age=0.05)
    house.visit().read_to_the_close()
    assert [news["reason"] for news in house.news(client_disconnected)] == [DisconnectReason.EXPIRED]


def test_who_is_there_when_the_manager_closes_is_told_of_a_shutdown(house: House) -> None:
    guest = house.visit()
    house.sse.close()
    guest.read_to_the_close()
    assert [news["reason"] for news in house.news(client_disconnected)] == [DisconnectReason.SHUTDOWN]


def test_who_finds_no_slot_finds_it_busy(make_house: Callable[..., House]) -> None:
    house = make_house("wsgi", wsgi_slots=0)
    house.visit().read_to_the_close()
    assert [news["reason"] for news in house.news(client_disconnected)] == ["busy"]


def test_who_finds_no_slot_was_never_connected(make_house: Callable[..., House]) -> None:
    house = make_house("wsgi", wsgi_slots=0)
    house.visit().read_to_the_close()
    house.news(client_disconnected)
    assert [told.signal.name for told in house.told] == [client_disconnected.name]


def test_one_too_many_of_a_key_finds_it_busy(make_house: Callable[..., House]) -> None:
    house = make_house("wsgi", max_connections_per_key=1)
    house.visit()
    house.visit().read_to_the_close()
    assert [news["reason"] for news in house.news(client_disconnected)] == ["busy"]


def test_each_client_is_told_of_as_often_as_it_comes_and_goes(house: House) -> None:
    for _ in range(3):
        house.visit().close()
    assert len(house.news(client_connected, 3)) == 3
    assert len(house.news(client_disconnected, 3)) == 3


def test_an_end_is_told_once_however_many_clients_there_are(house: House) -> None:
    guests = [house.visit(), house.visit(), house.visit()]
    house.sse.end_stream("news")
    for guest in guests:
        guest.read_to_the_close()
    house.news(client_disconnected, 3)
    assert house.news(stream_ended) == [{"stream_id": "news"}]


def test_a_client_back_to_a_history_that_is_gone_is_told_of(house: House) -> None:
    first, *_, oldest_left = [house.sse.send_event("news", "x") for _ in range(3)]
    place, goes_on = first, oldest_left
    house.sse.send_events("news", ["x"] * HISTORY)
    house.visit(f"/news?last_event_id={place}").read_until(b"streamy.gap")
    assert house.news(gap) == [
        {"stream_id": "news", "cursor": place, "goes_on": goes_on, "cause": GapCause.TRIMMED}
    ]


def test_each_client_back_to_a_history_that_is_gone_is_told_of(house: House) -> None:
    place = house.sse.send_event("news", "x")
    house.sse.send_events("news", ["x"] * (HISTORY + 1))
    for _ in range(2):
        house.visit(f"/news?last_event_id={place}").read_until(b"streamy.gap")
    assert len(house.news(gap, 2)) == 2


def test_a_gap_that_clients_meet_together_is_told_once(house: House) -> None:
    guests = [house.visit(), house.visit()]
    eventually(lambda: house.level == len(guests), "both served by what the hub reads")
    house.sse.send_events("news", [str(number) for number in range(4 * HISTORY)])
    for guest in guests:
        guest.read_until(b"data: 19")
    assert len(house.news(gap)) == 1


def test_a_client_that_asks_for_the_oldest_meets_no_gap(house: House) -> None:
    house.sse.send_events("news", [str(number) for number in range(2 * HISTORY)])
    house.visit("/news?oldest=1").read_until(b"data: 9")
    assert gap not in {told.signal for told in house.told}


class Strict:
    """A policy that sends every slow client away."""

    def decide(self, lag: Lag) -> Verdict:
        return Verdict.DISCONNECT


@pytest.mark.usefixtures("hurried")
def test_a_client_that_the_policy_decides_against_is_slow(make_house: Callable[..., House]) -> None:
    house = make_house("detached", slow_client_policy=Strict())
    house.visit("/news?key=me")
    house.sse.send_event("news", "x" * 1_000_000)
    (news,) = house.news(slow_client)
    assert (news["streams"], news["key"]) == (("news",), "me")
    assert news["lag"].bytes > 0


@pytest.mark.usefixtures("hurried")
def test_a_client_that_is_closed_for_being_slow_was_slow(make_house: Callable[..., House]) -> None:
    house = make_house("detached", slow_client_policy=Strict())
    house.visit()
    house.sse.send_event("news", "x" * 1_000_000)
    assert [news["reason"] for news in house.news(client_disconnected)] == ["slow"]


def test_receivers_hold_no_app_context(house: House) -> None:
    guest = house.visit()
    house.sse.end_stream("news")
    guest.read_to_the_close()
    house.news(client_disconnected)
    assert [told.signal.name for told in house.told if told.app_context] == []


def _fail(*_: object, **__: object) -> None:
    raise RuntimeError("a receiver's own fault")


@pytest.mark.parametrize(
    "signal", [client_connected, stream_ended, client_disconnected], ids=lambda s: s.name
)
def test_a_failing_receiver_keeps_no_event_from_a_client(
    house: House, signal: NamedSignal, caplog: pytest.LogCaptureFixture
) -> None:
    house.listen(signal, _fail)
    guest = house.visit()
    house.sse.send_event("news", "one")
    house.sse.end_stream("news")
    received = guest.read_to_the_close()
    assert b"data: one\n" in received
    assert b"event: streamy.end\n" in received


@pytest.mark.parametrize("signal", [client_connected, client_disconnected], ids=lambda s: s.name)
def test_a_failing_receiver_costs_no_later_client_its_place(
    make_house: Callable[..., House], delivery: str, signal: NamedSignal
) -> None:
    house = make_house(delivery, max_connections=1)
    house.listen(signal, _fail)
    for number in range(3):
        guest = house.visit()
        house.sse.send_event("news", str(number))
        assert f"data: {number}\n".encode() in guest.read_until(f"data: {number}\n".encode())
        guest.close()
        eventually(lambda: len(house.sse.binding.delivery) == 0, "the place given back")


def test_a_failing_receiver_s_error_is_logged(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.listen(client_connected, _fail)
    house.visit()
    eventually(lambda: "a receiver of client-connected failed" in caplog.text, "a line in the log")
    (record,) = [record for record in caplog.records if "client-connected" in record.getMessage()]
    assert (record.name, record.levelno) == ("streamy.signals", logging.ERROR)
    assert record.exc_info is not None


def test_a_failing_receiver_keeps_no_news_from_other_receivers(house: House) -> None:
    # In whichever order they are called.
    others = [Event() for _ in range(8)]
    for other in others[:4]:
        house.listen(client_connected, partial(_hear, other))
    house.listen(client_connected, _fail)
    for other in others[4:]:
        house.listen(client_connected, partial(_hear, other))
    house.visit()
    assert [other.is_set() for other in others] == [True] * 8


def _hear(event: Event, *_: object, **__: object) -> None:
    event.set()
