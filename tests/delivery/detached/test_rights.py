"""Streams are taken from the loop's clients without a reconnect, wherever a client is at that moment."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import nullcontext, suppress
from typing import Any

import pytest

from streamy_core import END, OLDEST
from streamy_core.delivery import sockets
from streamy_core.delivery.detached.client import Client
from streamy_core.delivery.detached.groups import Group
from streamy_core.delivery.questions import Recheck
from streamy_core.delivery.session import Session
from streamy_core.engine.byte_reader import ByteReader
from streamy_core.engine.frames import Framing
from streamy_core.engine.hub import Hub
from streamy_core.ids import join_cursors
from streamy_core.observers import DisconnectReason
from streamy_core.strategies import Never
from streamy_core.testing.reading import DEADLINE, events, eventually

from ...engine.doubles import FaultyBroker
from ...support.event_stream import Frame
from ..conftest import SlowReplay
from .house import House, Visitor
from .test_joint import BIG, frames

EVERY = 15.0


class Rights:
    """Who may read what, and who was asked about."""

    def __init__(self) -> None:
        self.of: dict[str | None, Any] = {}
        self.asked: list[tuple[str | None, tuple[str, ...]]] = []
        self.answers = threading.Event()
        self.answers.set()
        self.check = Recheck(self.may, many=False, around=nullcontext)

    def may(self, key: str | None, streams: tuple[str, ...]) -> Any:
        self.asked.append((key, streams))
        self.answers.wait(DEADLINE)
        return self.of.get(key, True)


@pytest.fixture
def rights() -> Iterator[Rights]:
    rights = Rights()
    yield rights
    rights.answers.set()


def look_again(house: House, rights: Rights, **of: Any) -> None:
    """Change rights, and have them looked at."""
    rights.of |= of
    asked = len(rights.asked)
    eventually(lambda: house.rechecks._asker.due_at() is None, "all answers are there")
    house.clock.advance(EVERY)
    eventually(lambda: len(rights.asked) > asked, "asked")


def until(house: House, key: str, *streams: str) -> None:
    """Wait until the client of this key reads just these."""

    def reads() -> list[tuple[str, ...]]:
        return [client.session.streams for client in list(house.loop._clients) if client.session.key == key]

    eventually(lambda: reads() == [streams], f"{key} reads {streams}")


def data_of(found: list[Frame]) -> list[str | None]:
    return [frame.data for frame in found]


def all_that_came(visitor: Visitor) -> bytes:
    """All up to now."""
    data = b""
    visitor.sock.settimeout(0.05)
    with suppress(TimeoutError):
        while more := visitor.sock.recv(262_144):
            data += more
    visitor.sock.settimeout(DEADLINE)
    return data


def test_who_may_not_read_any_more_is_told_to_come_back_and_all_others_go_on(
    house: House, rights: Rights, broker: FaultyBroker
) -> None:
    revoked, stays, unchecked = (
        house.visit(key=key, recheck=check)
        for key, check in (("ann", rights.check), ("bob", rights.check), ("cid", None))
    )
    look_again(house, rights, ann=False)
    assert revoked.read_to_the_close().endswith(b"retry: 99\n\n")
    eventually(lambda: house.gone == [("ann", "revoked")], "it is told of")
    broker.append("news", events("secret"))
    assert b"secret" not in revoked.received
    assert stays.data(1) == unchecked.data(1) == ["secret"]
    assert ("cid", ("news",)) not in rights.asked


def test_a_member_goes_on_with_the_streams_that_are_left(
    house: House, rights: Rights, broker: FaultyBroker
) -> None:
    ann, bob = (house.visit("a", "b", "c", key=key, recheck=rights.check) for key in ("ann", "bob"))
    broker.append("b", events("level"))
    frames(ann, 1), frames(bob, 1)
    look_again(house, rights, ann={"a", "c", "not even asked for"})
    until(house, "ann", "a", "c")
    place = dict(broker.tail(["a", "b", "c"]))
    for number in range(3):
        broker.append("b", events(f"secret {number}"))
        for name in ("c", "a"):
            (place[name],) = broker.append(name, events(str(number)))
            (frame,) = frames(ann, 1)
            assert (frame.data, frame.id) == (str(number), join_cursors(place)), "b stays where it was"
        assert sorted(map(str, data_of(frames(bob, 3)))) == [str(number), str(number), f"secret {number}"]
    look_again(house, rights, ann={"c"})
    until(house, "ann", "c")
    assert rights.asked[-1] in {("ann", ("a", "c")), ("bob", ("a", "b", "c"))}
    broker.append("a", events("secret"))
    broker.append("c", events("last"))
    assert data_of(frames(ann, 1)) == ["last"]
    look_again(house, rights, ann=[])
    rest = ann.read_to_the_close()
    assert b"secret" not in rest
    assert END.encode() not in rest
    eventually(lambda: house.gone == [("ann", "revoked")], "it is told of")


def test_who_comes_later_is_a_member_beside_one_that_has_lost_a_stream(
    house: House, rights: Rights, broker: FaultyBroker
) -> None:
    ann = house.visit("a", "b", key="ann", recheck=rights.check)
    broker.append("a", events("level"))
    frames(ann, 1)
    look_again(house, rights, ann=["a"])
    until(house, "ann", "a")
    bob = house.visit("a", "b", key="bob")
    broker.append("a", events("for both"))
    assert data_of(frames(ann, 1)) == data_of(frames(bob, 1)) == ["for both"]
    broker.append("b", events("for bob"))
    assert data_of(frames(bob, 1)) == ["for bob"]
    kinds = {client.session.key: type(client.group).__name__ for client in list(house.loop._clients)}
    assert kinds == {"ann": "Group", "bob": "Member"}


def test_when_all_but_the_lost_have_ended_the_client_is_sent_away(
    house: House, rights: Rights, broker: FaultyBroker
) -> None:
    ann = house.visit("a", "b", key="ann", recheck=rights.check)
    broker.end("a")
    assert [frame.name for frame in frames(ann, 1)] == [END]
    look_again(house, rights, ann=["a"])
    assert ann.read_to_the_close().endswith(b"retry: 99\n\n")
    eventually(lambda: house.gone == [("ann", "revoked")], "it is told of")


def test_a_command_for_a_stream_means_nobody_who_has_lost_it(
    house: House, rights: Rights, broker: FaultyBroker
) -> None:
    ann = house.visit("a", "b", key="ann", recheck=rights.check)
    house.visit("a", "b", key="bob")
    look_again(house, rights, ann=["a"])
    until(house, "ann", "a")
    house.loop.disconnect(lambda session: "b" in session.streams, DisconnectReason.DISCONNECTED)
    eventually(lambda: house.gone == [("bob", "disconnected")], "done")
    broker.append("a", events("still here"))
    assert data_of(frames(ann, 1)) == ["still here"]


def test_of_what_has_been_read_from_the_log_nothing_of_a_lost_stream_goes_out(
    house: House, rights: Rights, broker: FaultyBroker, slow_replay: SlowReplay
) -> None:
    for number in range(60):
        broker.append("a", events(f"a{number} {BIG}"))
        broker.append("b", events(f"secret{number} {BIG}"))
    ann = house.enter("a", "b", key="ann", recheck=rights.check, after=OLDEST)
    slow_replay.wait_until_read()
    sent = all_that_came(ann)
    look_again(house, rights, ann=["a"])
    until(house, "ann", "a")
    slow_replay.go_on()
    broker.append("a", events("the last"))
    rest = ann.read_until(b"data: the last\n\n")
    assert b"secret" not in rest
    numbers = [int(number) for number in re.findall(rb"^data: a(\d+) ", sent + rest, re.MULTILINE)]
    assert numbers == list(range(60)), "each once, in order"


def test_what_is_on_its_way_but_not_yet_sent_is_made_again_without_the_lost_stream(
    hub: Hub, broker: FaultyBroker
) -> None:
    near, far = socket.socketpair()
    with near, far:
        client = Client(far, Session(("a", "b"), "ann", Never()))
        reader = ByteReader.open_for_client(hub, {"a": None, "b": None}, framing=Framing(), retry=1)
        reader.take()
        group = Group(reader, client)
        reader.attach(lambda: None)
        broker.append("a", events("for her"))
        broker.append("b", events("secret"))
        eventually(lambda: reader.entries_behind() == 2, "the hub has read")
        group.note_place()
        group.start_sending(reader.take())
        alone = group.split_without(client, {"b"})
        assert list(group.next(1)) == []
        data = alone.reader.take()
        assert b"for her" in data
        assert b"secret" not in data


def test_what_lies_back_waits_for_an_answer_and_the_opening_doesn_t(
    house: House, rights: Rights, broker: FaultyBroker
) -> None:
    broker.append("a", events("old a"))
    broker.append("b", events("old secret"))
    rights.answers.clear()
    rights.of["ann"] = ["a"]
    ann = house.enter("a", "b", key="ann", recheck=rights.check, after=OLDEST)
    other = house.visit("a", "b", key="bob", after=OLDEST)
    assert sorted(map(str, data_of(frames(other, 2)))) == ["old a", "old secret"], (
        "who isn't checked waits not"
    )
    assert b"event: streamy.open\n" in ann.read_until(b"HEAD\n\n") + ann.read_until(b"\n\n")
    broker.append("a", events("new"))
    frames(other, 1)
    eventually(lambda: rights.asked == [("ann", ("a", "b"))], "she has been asked for")
    assert all_that_came(ann) == b""
    rights.answers.set()
    assert data_of(frames(ann, 2)) == ["old a", "new"]


def test_who_may_not_read_is_shown_nothing_of_what_lies_back(
    house: House, rights: Rights, broker: FaultyBroker
) -> None:
    broker.append("news", events("secret"))
    rights.of["ann"] = False
    ann = house.enter(key="ann", recheck=rights.check, after=OLDEST)
    assert b"secret" not in ann.read_to_the_close()
    assert ann.received.endswith(b"retry: 99\n\n")


def test_who_misses_nothing_is_not_asked_about_before_it_is_time(house: House, rights: Rights) -> None:
    house.visit(key="ann", recheck=rights.check)
    until(house, "ann", "news")
    assert rights.asked == []


def test_at_a_shutdown_what_waits_for_an_answer_stays_where_it_is(
    house: House, rights: Rights, broker: FaultyBroker
) -> None:
    broker.append("news", events("secret"))
    rights.answers.clear()
    ann = house.visit(key="ann", recheck=rights.check, after=OLDEST)
    eventually(lambda: rights.asked, "asked")
    house.loop.shutdown(DEADLINE)
    assert b"secret" not in ann.read_to_the_close()


@pytest.mark.parametrize("left", [[], ["b"]], ids=["nothing", "another stream"])
def test_a_client_that_took_nothing_gets_no_more_of_what_it_has_lost(
    house: House, rights: Rights, broker: FaultyBroker, left: Collection[str]
) -> None:
    slow = house.visit("a", "b", key="ann", recheck=rights.check, buffers=4096)
    for number in range(100):
        broker.append("a", events(f"{number} {BIG}"))

    def pending() -> bool:
        return any(client.pending for client in list(house.loop._clients))

    eventually(pending, "it takes no more")
    busy, go_on = threading.Event(), threading.Event()

    def wait_for_the_answer() -> None:
        busy.set()
        go_on.wait(DEADLINE)
        house.loop._calls.popleft()()  # before its socket is looked at, which has room

    house.loop._call(wait_for_the_answer)
    assert busy.wait(DEADLINE)
    look_again(house, rights, ann=left)
    eventually(lambda: house.loop._calls, "its answer is there")
    (client,) = house.loop._clients
    eventually(lambda: not (all_that_came(slow) or sockets.waiting(client.sock)), "there is room for more")
    slow.received = b""
    go_on.set()
    assert slow.read_to_the_close() == b""
    eventually(lambda: house.gone == [("ann", "revoked")], "it has to come back")


def test_observers_are_told_of_lost_streams_and_of_the_client_as_it_came(
    house: House, rights: Rights, broker: FaultyBroker, visit_told: Callable[[House], list[Any]]
) -> None:
    told = visit_told(house)
    ann = house.visit("a", "b", key="ann", recheck=rights.check)
    look_again(house, rights, ann=["a"])
    until(house, "ann", "a")
    ann.sock.close()
    eventually(lambda: house.gone == [("ann", "gone")], "it has gone")
    assert told == [("connected", ("a", "b")), ("revoked", ("a", "b"), {"b"})]


@pytest.fixture
def visit_told() -> Callable[[House], list[Any]]:
    def listen(house: House) -> list[Any]:
        told: list[Any] = []
        house.on_connect = lambda client: told.append(("connected", client.streams))
        house.on_revoke = lambda client, streams: told.append(("revoked", client.streams, set(streams)))
        return told

    return listen
