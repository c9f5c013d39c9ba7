"""Streams are taken from clients that hold a thread, without a reconnect, wherever they are just then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from streamy_core import END, OLDEST, OPEN, StreamManager
from streamy_core.delivery.delivery import Connection
from streamy_core.delivery.questions import Recheck
from streamy_core.delivery.servers import server_of
from streamy_core.delivery.wsgi import WsgiBody
from streamy_core.delivery.wsgi_backlog import WsgiBacklog
from streamy_core.engine.frames import Framing
from streamy_core.ids import join_cursors
from streamy_core.observers import ClientInfo, Observer
from streamy_core.strategies import Never
from streamy_core.testing import ManualClock
from streamy_core.testing.event_stream import EventStreamParser
from streamy_core.testing.reading import DEADLINE, events, eventually

from ..engine.doubles import FaultyBroker
from ..support.forks import forks, told_by_child
from ..support.making import closed_in_the_end
from .conftest import SlowReplay

EVERY = 15.0
BIG = "x" * 10_000


class Telling(Observer):
    """Notes what it is told of clients."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def revoked(self, client: ClientInfo, delivery: str, streams: Any) -> None:
        self.told.append(("revoked", client.streams, set(streams)))

    def disconnected(self, client: ClientInfo, delivery: str, reason: str) -> None:
        self.told.append((client.key, client.streams, str(reason)))


class House:
    """A manager, a clock, and who may read what."""

    def __init__(self, broker: FaultyBroker, **settings: Any) -> None:
        self.clock = ManualClock()
        self.observer = Telling()
        self.sse = StreamManager(broker=broker, clock=self.clock, observers=[self.observer], **settings)
        self.rights: dict[str | None, Any] = {}
        self.asked: list[tuple[str | None, tuple[str, ...]]] = []
        self.answers = threading.Event()
        self.answers.set()

    def may(self, key: str | None, streams: tuple[str, ...]) -> Any:
        self.asked.append((key, streams))
        self.answers.wait(DEADLINE)
        return self.rights.get(key, True)

    def body(self, *names: str, key: str, after: str | None = None) -> WsgiBody:
        binding = self.sse.binding
        streams = list(names or ("news",))
        recheck = Recheck(self.may, many=False, around=nullcontext)
        session = replace(binding.session(streams, key, Never()), recheck=recheck)
        reader = binding.open_reader(streams, after, None, Framing())
        return binding.delivery.body(session, reader, Connection(server_of(None)))

    def look_again(self, **rights: Any) -> None:
        """Change rights, and have them looked at."""
        self.rights |= rights
        asked = len(self.asked)
        asker = self.sse.binding.delivery._rechecks._asker
        eventually(lambda: asker.due_at() is None, "all answers are there")
        self.clock.advance(EVERY)
        eventually(lambda: len(self.asked) > asked, "asked")

    def close(self) -> None:
        self.answers.set()
        self.sse.close()


class Client:
    """Reads a body, by a thread of its own."""

    def __init__(self, body: WsgiBody) -> None:
        self.body = body
        self.parser = EventStreamParser()
        self.received = b""
        self._seen: list[Any] = []
        self.over = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def data(self) -> list[str]:
        return [event.data for event in self._seen if event.type != OPEN]

    @property
    def types(self) -> list[str]:
        return [event.type for event in self._seen]

    def wait_for(self, *data: str) -> None:
        eventually(lambda: sorted(self.data) == sorted(data), f"{data} have come")

    def _read(self) -> None:
        for chunk in self.body:
            self.received += chunk
            self._seen += self.parser.feed(chunk)
        self.over.set()


@pytest.fixture
def make_house(broker: FaultyBroker) -> Iterator[Callable[..., House]]:
    with closed_in_the_end(partial(House, broker)) as make:
        yield make


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    return make_house()


def read_until(client: Client, *streams: str) -> None:
    eventually(lambda: client.body.session.streams == streams, f"it reads {streams}")


def test_who_may_not_read_any_more_is_told_to_come_back_and_all_others_go_on(
    house: House, broker: FaultyBroker
) -> None:
    ann, bob = (Client(house.body(key=key)) for key in ("ann", "bob"))
    eventually(lambda: len(house.sse.binding.delivery) == 2, "both are there")
    house.look_again(ann=False)
    assert ann.over.wait(DEADLINE)
    assert ann.received.split(b"\n\n")[-2].startswith(b"retry: ")
    assert house.observer.told == [("ann", ("news",), "revoked")]
    broker.append("news", events("secret"))
    bob.wait_for("secret")
    assert b"secret" not in ann.received


def test_a_client_goes_on_with_the_streams_that_are_left(house: House, broker: FaultyBroker) -> None:
    ann = Client(house.body("a", "b", "c", key="ann"))
    eventually(lambda: ann.types == [OPEN], "it is there")
    house.look_again(ann=["a", "c"])
    read_until(ann, "a", "c")
    place = dict(broker.tail(["a", "b", "c"]))
    broker.append("b", events("secret"))
    for name in ("a", "c"):
        (place[name],) = broker.append(name, events(name))
    ann.wait_for("a", "c")
    assert ann.parser.last_event_id == join_cursors(place), "b stays where it was"
    house.look_again(ann=["a"])
    read_until(ann, "a")
    assert house.asked[-1] == ("ann", ("a", "c"))
    broker.append("c", events("secret"))
    broker.end("a")
    assert ann.over.wait(DEADLINE)
    assert ann.types.count(END) == 1
    assert b"secret" not in ann.received
    assert house.observer.told == [
        ("revoked", ("a", "b", "c"), {"b"}),
        ("revoked", ("a", "b", "c"), {"c"}),
        ("ann", ("a", "b", "c"), "ended"),
    ]


def test_when_all_but_the_lost_have_ended_the_client_is_sent_away(house: House, broker: FaultyBroker) -> None:
    ann = Client(house.body("a", "b", key="ann"))
    eventually(lambda: ann.types == [OPEN], "it is there")
    broker.end("a")
    eventually(lambda: END in ann.types, "it is told of the end")
    house.look_again(ann=["a"])
    assert ann.over.wait(DEADLINE)
    assert house.observer.told[-1][-1] == "revoked"


def test_of_what_has_been_read_from_the_log_nothing_of_a_lost_stream_goes_out(
    house: House, broker: FaultyBroker, slow_replay: SlowReplay
) -> None:
    for number in range(60):
        broker.append("a", events(f"{number} {BIG}"))
        broker.append("b", events(f"secret{number} {BIG}"))
    ann = Client(house.body("a", "b", key="ann", after=OLDEST))
    slow_replay.wait_until_read()
    sent = len(ann.data)
    house.look_again(ann=["a"])
    read_until(ann, "a")
    slow_replay.go_on()
    broker.append("a", events("60 at last"))
    eventually(lambda: "60 at last" in ann.data, "it has caught up")
    assert not [data for data in ann.data[sent:] if "secret" in data]
    assert [int(data.split()[0]) for data in ann.data if "secret" not in data] == list(range(61))


def test_what_has_been_handed_out_is_not_read_again(house: House, broker: FaultyBroker) -> None:
    texts = [f"{number} {BIG}" for number in range(60)]
    broker.append("a", events(*texts))
    ann = Client(house.body("a", "b", key="ann", after=OLDEST))
    ann.wait_for(*texts)  # the first of them from the log
    broker.append("a", events("live"))
    ann.wait_for(*texts, "live")
    house.look_again(ann=["a"])
    read_until(ann, "a")
    broker.append("a", events("last"))
    ann.wait_for(*texts, "live", "last")


@pytest.mark.parametrize("slots", [None, 0], ids=["with a slot", "without one"])
def test_what_lies_back_waits_for_an_answer_and_the_opening_doesn_t(
    make_house: Callable[..., House], broker: FaultyBroker, slots: int | None
) -> None:
    house = make_house(wsgi_slots=slots)
    broker.append("a", events("old a"))
    broker.append("b", events("old secret"))
    house.answers.clear()
    house.rights["ann"] = ["a"]
    body = house.body("a", "b", key="ann", after=OLDEST)
    assert b"event: streamy.open\n" in next(body)
    broker.append("a", events("new"))
    with ThreadPoolExecutor(1) as pool:
        further = pool.submit(next, body)
        eventually(lambda: house.asked == [("ann", ("a", "b"))], "asked")
        assert not further.done()
        house.answers.set()
        data = further.result(DEADLINE)
    while b"new" not in data:
        data += next(body)
    assert b"old a" in data
    assert b"secret" not in data


@pytest.mark.parametrize("left", [False, ["a"]], ids=["all", "one of two"])
def test_what_is_lost_just_when_the_thread_looks_is_not_handed_out(
    house: House, broker: FaultyBroker, monkeypatch: pytest.MonkeyPatch, left: object
) -> None:
    broker.append("a", events("old a"))
    broker.append("b", events("old secret"))
    house.rights["ann"] = left
    house.answers.clear()
    goes_on = WsgiBacklog.goes_on

    def goes_on_until_then(backlog: WsgiBacklog) -> bool:
        found = goes_on(backlog)
        house.answers.set()
        eventually(lambda: not backlog.held, "there is an answer")
        return found

    monkeypatch.setattr(WsgiBacklog, "goes_on", goes_on_until_then)
    ann = Client(house.body("a", "b", key="ann", after=OLDEST))
    if left:
        ann.wait_for("old a")
    else:
        assert ann.over.wait(DEADLINE)
    assert b"secret" not in ann.received


def test_who_may_not_read_is_shown_nothing_of_what_lies_back(house: House, broker: FaultyBroker) -> None:
    broker.append("news", events("secret"))
    house.rights["ann"] = False
    ann = Client(house.body(key="ann", after=OLDEST))
    assert ann.over.wait(DEADLINE)
    assert b"secret" not in ann.received
    assert house.observer.told == [("ann", ("news",), "revoked")]


def test_a_client_that_has_left_is_asked_about_no_more(house: House) -> None:
    body, other = house.body("a", "b", key="ann"), house.body(key="bob")
    next(body), next(other)
    body.close()
    body.lose(frozenset({"a"}))  # an answer that was on its way
    house.look_again()
    assert [key for key, _ in house.asked] == ["bob"]


@forks
def test_a_forked_process_asks_for_its_own_clients(house: House) -> None:
    next(house.body(key="parent's"))
    house.look_again()

    def serve() -> str:
        house.asked.clear()
        body = house.body(key="child's")
        next(body)
        house.look_again(**{"child's": False})
        list(body)
        return str([key for key, _ in house.asked])

    assert told_by_child(serve) == '["child\'s"]'
    house.look_again()
    assert [key for key, _ in house.asked] == ["parent's", "parent's"]
