"""Clients of several streams: each gets what is new in any, and ids that say where it is in all."""

from __future__ import annotations

import gc
import json
import re
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from streamy_backends.memory import Limits
from streamy_core import END, GAP, BrokerUnavailable
from streamy_core.delivery.detached.client import Client
from streamy_core.ids import join_cursors
from streamy_core.strategies import FixedInterval
from streamy_core.strategies.slow_clients import Disconnect
from streamy_core.testing.reading import events, eventually

from ...engine.conftest import hub_of
from ...engine.doubles import FaultyBroker
from ...support.event_stream import ChunkedBody, Frame, parse_frame
from .house import House, Visitor

BIG = "x" * 10_000


def frames(visitor: Visitor, count: int) -> list[Frame]:
    """The next `count` frames that tell something."""
    found: list[Frame] = []
    while len(found) < count:
        frame = parse_frame(visitor.read_until(b"\n\n").removesuffix(b"\n\n"))
        if frame.is_event and frame.name != "streamy.open":
            found.append(frame)
    return found


def clients_of(key: str) -> list[Client]:
    return [kept for kept in gc.get_objects() if isinstance(kept, Client) and kept.session.key == key]


@pytest.fixture
def member(house: House, broker: FaultyBroker) -> Callable[..., Visitor]:
    """A client of these streams that is level: it has been sent an event of the first."""

    def come(*names: str, **more: Any) -> Visitor:
        visitor = house.visit(*names, **more)
        broker.append(names[0], events("level"))
        frames(visitor, 1)
        return visitor

    return come


def test_an_id_says_where_the_client_is_in_all_its_streams(
    member: Callable[..., Visitor], broker: FaultyBroker
) -> None:
    names = [f"s{n}" for n in range(10)]
    visitor = member(*names)
    place = dict(broker.tail(names))
    for name in [*names, *reversed(names)]:
        (place[name],) = broker.append(name, events("1"))
        (frame,) = frames(visitor, 1)
        assert frame.id == join_cursors(place)


def test_what_is_sent_of_several_streams_at_once_is_told_once(
    house: House, member: Callable[..., Visitor], broker: FaultyBroker
) -> None:
    visitors = [member("a", "b") for _ in range(3)]
    # Who comes later is level with the others once they all have what came before.
    eventually(lambda: house.events == 1 + 2 + 3, "all that came before is told")
    places = broker.tail(["a", "b"])
    goes_on = threading.Event()
    house.loop._call(goes_on.wait)
    broker.append("a", events("1", "2"))
    broker.append("b", events("3"))
    eventually(lambda: all(house.hub.distance(name, places[name]) for name in places), "both are read")
    goes_on.set()
    for others, visitor in enumerate(reversed(visitors)):  # which came later, each with an event
        visitor.count(b"data: ", others + 3)
    eventually(lambda: house.events == 6 + 3 * 3, "each event is told once for each client")


def test_each_of_many_entries_that_are_due_at_once_has_its_own_id(
    member: Callable[..., Visitor], broker: FaultyBroker
) -> None:
    visitor = member("a", "b")
    place = dict(broker.tail(["a", "b"]))
    ids = broker.append("a", events(*map(str, range(50))))
    got = frames(visitor, 50)
    assert [frame.data for frame in got] == [str(n) for n in range(50)]
    assert [frame.id for frame in got] == [join_cursors({**place, "a": entry}) for entry in ids]


def test_clients_that_share_one_stream_of_theirs_each_get_it_once(
    member: Callable[..., Visitor], broker: FaultyBroker
) -> None:
    visitors = [member("news", f"user:{n}") for n in range(20)]
    for n, visitor in enumerate(visitors):
        frames(visitor, len(visitors) - 1 - n)  # of those who came later
    broker.append("news", events("for all"))
    for n in range(20):
        broker.append(f"user:{n}", events(f"for {n}"))
    for n, visitor in enumerate(visitors):
        assert {frame.data for frame in frames(visitor, 2)} == {"for all", f"for {n}"}


def test_events_without_a_name_get_the_clients_own(house: House, broker: FaultyBroker) -> None:
    visitors = {name: house.visit("a", "b", default_name=name) for name in ("message", "note")}
    for number in range(3):
        broker.append("a", events(str(number)))
        for name, visitor in visitors.items():
            (frame,) = frames(visitor, 1)
            assert (frame.name, frame.data) == (name, str(number))


def test_clients_that_ask_are_told_the_stream_of_each_event_and_no_others(
    house: House, broker: FaultyBroker
) -> None:
    asking, other = house.visit("a", "b", tells_streams=True), house.visit("a", "b")
    for number in range(3):
        broker.append("a", events(str(number)))
        broker.append("b", events(str(number)))
        for visitor, told in ((asking, {b"a", b"b"}), (other, set())):
            seen = b"".join(visitor.read_until(f"data: {number}\n\n".encode()) for _ in range(2))
            assert set(re.findall(rb"^stream: (.*)$", seen, re.MULTILINE)) == told


def test_a_client_that_has_read_by_itself_is_sent_its_frames_as_before(
    house: House, broker: FaultyBroker
) -> None:
    visitor = house.visit("a", "b", "c", tells_streams=True, default_name="tick")
    broker.append("a", events("level"))
    visitor.read_until(b"event: tick\ndata: level\n\n")
    broker.end("c")
    assert b"\nstream: c\n" in visitor.read_until(b'data: {"stream": "c"}\n\n')
    for number in range(2):
        broker.append("b", events(str(number)))
        assert b"\nstream: b\nevent: tick\n" in visitor.read_until(f"data: {number}\n\n".encode())


def test_over_chunks_what_is_due_comes_whole(house: House, broker: FaultyBroker) -> None:
    visitor = house.enter("a", "b", chunked=True)
    visitor.read_until(b"HEAD\n\n")
    body = ChunkedBody()
    found = body.feed(visitor.received)
    for number in range(3):
        broker.append("a", events(str(number), "more"))
        broker.append("b", events(str(number)))
        while found.count(b"data: ") < 1 + 3 * (number + 1):  # the opening's, too
            found += body.feed(visitor.sock.recv(65_536))
    assert found.endswith(b"\n\n")


def test_the_end_of_one_stream_is_told_and_the_others_go_on(
    member: Callable[..., Visitor], broker: FaultyBroker
) -> None:
    visitor = member("a", "b", "c")
    broker.end("b")
    (end,) = frames(visitor, 1)
    assert (end.name, json.loads(end.data or "")) == (END, {"stream": "b"})
    place = {**broker.tail(["a", "c"]), "b": broker.read({"b": ""}, 1)["b"].cursor}
    for number in range(3):  # by itself at first, then as a member again
        (place["a"],) = broker.append("a", events(str(number)))
        (frame,) = frames(visitor, 1)
        assert (frame.data, frame.id) == (str(number), join_cursors(place))


def test_when_the_last_of_its_streams_has_ended_the_client_is_sent_away(
    member: Callable[..., Visitor], broker: FaultyBroker, house: House
) -> None:
    visitor = member("a", "b")
    broker.end("b")
    broker.end("a")
    assert {frame.name for frame in frames(visitor, 2)} == {END}
    visitor.read_to_the_close()
    eventually(lambda: house.gone == [(None, "ended")], "it is told of")


def test_a_gap_in_one_stream_is_told_and_all_go_on() -> None:
    with FaultyBroker(Limits(history=3)) as broker, closing(hub_of(broker)) as hub:
        house = House(hub, Disconnect())
        visitor = house.visit("a", "b")
        broker.append("a", events("level"))
        frames(visitor, 1)
        broker.deaf = True
        broker.append("a", events(*"12345"))
        broker.deaf = False
        broker.append("a", events("6"))
        broker.append("b", events("7"))
        got = frames(visitor, 5)
        assert sorted(frame.data for frame in got if frame.name != GAP) == ["4", "5", "6", "7"]
        assert [frame.name for frame in got].count(GAP) == 1
        assert got[-1].id == join_cursors(broker.tail(["a", "b"]))
        house.close()


def test_an_end_among_news_of_many_streams_is_told(house: House, broker: FaultyBroker) -> None:
    going_on = [f"s{number}" for number in range(10)]
    visitor = house.visit(*going_on)
    broker.append("s0", events("level"))
    frames(visitor, 1)
    for text in "abcdef":
        ended = going_on.pop()
        broker.deaf = True
        for name in going_on:
            broker.append(name, events(text))
        broker.end(ended)
        broker.deaf = False
        broker.broken = BrokerUnavailable("for a moment")  # after which all streams are read together
        broker.append("s0", events(text))
        got = frames(visitor, len(going_on) + 2)
        assert sorted(frame.name for frame in got) == ["message"] * (len(going_on) + 1) + [END]


def test_a_member_that_takes_no_more_goes_on_by_itself_and_loses_nothing(
    member: Callable[..., Visitor], broker: FaultyBroker
) -> None:
    slow, quick = member("a", "b", buffers=4096), member("a", "c")
    frames(slow, 1)  # the other's first
    big = [BIG + str(n) for n in range(50)]
    for text in big:
        broker.append("a", events(text))
    broker.append("b", events("own"))
    assert [frame.data for frame in frames(quick, 50)] == big
    got = frames(slow, 51)
    assert [frame.data for frame in got if frame.data != "own"] == big
    place = broker.tail(["a", "b"])
    assert got[-1].id == join_cursors(place)
    (place["a"],) = broker.append("a", events("after it"))  # type: ignore[index]
    assert frames(slow, 1)[0].id == join_cursors(place)


def test_a_long_backlog_of_long_ids_goes_out_in_slices(house: House, broker: FaultyBroker) -> None:
    names = [f"s{n}" for n in range(100)]
    visitor = house.visit(*names)
    broker.append("s0", events("level"))
    frames(visitor, 1)
    broker.append("s0", events(*["x"] * 2_000))
    assert len(frames(visitor, 2_000)) == 2_000


def test_members_get_keep_alives_in_time_and_only_when_they_are_idle(
    house: House, broker: FaultyBroker
) -> None:
    visitor = house.visit("a", "b", keep_alive=FixedInterval(0.2))
    broker.append("a", events("level"))
    frames(visitor, 1)
    for _ in range(3):
        assert visitor.read_until(b"\n\n") == b": keep-alive\n\n"


def test_a_member_that_leaves_is_forgotten_at_once(member: Callable[..., Visitor], house: House) -> None:
    for number in range(10):
        member("news", f"user:{number}", key="leaver").sock.close()
    eventually(lambda: len(house.gone) == 10, "all are gone")
    eventually(lambda: house.hub.health.streams == 0, "nothing is watched")
    eventually(lambda: not clients_of("leaver"), "nobody holds on to them")


def test_shutdown_gives_members_what_is_due_and_a_time_to_come_back(
    member: Callable[..., Visitor], house: House, broker: FaultyBroker
) -> None:
    visitors = [member("news", f"user:{n}") for n in range(3)]
    broker.append("news", events("last"))
    broker.append("user:1", events("own"))
    eventually(lambda: house.hub.distance("news", broker.tail(["news"])["news"]) == 0, "it has been read")
    eventually(lambda: house.hub.distance("user:1", broker.tail(["user:1"])["user:1"]) == 0, "likewise")
    house.loop.shutdown(10)
    for number, visitor in enumerate(visitors):
        said = visitor.read_to_the_close()
        assert b"data: last\n" in said
        assert (b"data: own\n" in said) == (number == 1)
        assert said.endswith(b"retry: 99\n\n")


def test_what_comes_between_a_client_s_last_look_and_its_becoming_a_member_is_sent_at_once(
    house: House, broker: FaultyBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.visit("a")  # whose window is there already: the hub looks at it for nobody who comes
    eventually(lambda: house.hub.health.streams == 1, "a window")
    attach = house.hub.attach_each

    def attach_late(starts: Any, wakes: Any) -> None:
        if "a" in wakes:
            (late,) = broker.append("a", events("late"))
            eventually(lambda: house.hub.distance("a", late) == 0, "it has been read")
        attach(starts, wakes)

    monkeypatch.setattr(house.hub, "attach_each", attach_late)
    visitor = house.visit("a", "b")
    assert [frame.data for frame in frames(visitor, 1)] == ["late"]
