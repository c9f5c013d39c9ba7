"""Whatever happens to several streams: each client gets each entry of its own once, in order, or a gap."""

from __future__ import annotations

import json
from contextlib import closing

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamy_backends.memory import Limits
from streamy_core import END, GAP
from streamy_core.ids import split_cursor
from streamy_core.strategies.slow_clients import Disconnect
from streamy_core.testing.reading import events

from ...engine.conftest import hub_of
from ...engine.doubles import FaultyBroker
from ...support.event_stream import parse_frame
from .house import House, Visitor

STREAMS = ["a", "b", "c"]
READS = [("a", "b"), ("a", "c"), ("a", "b", "c"), ("b", "a")]
HISTORY = 6

publish = st.tuples(st.just("publish"), st.sampled_from(STREAMS), st.integers(1, 4))
lose = st.tuples(st.just("lose"), st.sampled_from(STREAMS), st.just(HISTORY + 2))
end = st.tuples(st.just("end"), st.sampled_from(STREAMS), st.just(0))
cut = st.tuples(st.just("cut"), st.sampled_from(STREAMS), st.integers(0, len(READS) - 1))
histories = st.lists(st.one_of(publish, publish, publish, cut, lose, end), max_size=25)


class Reader:
    """One client, which checks all that it is sent, and comes back with the last id that it had."""

    def __init__(self, house: House, names: tuple[str, ...]) -> None:
        self.house = house
        self.names = names
        self.seen = dict.fromkeys(names, 0)
        self.ended: set[str] = set()
        self.skipped: set[str] = set()
        self.last_id: str | None = None
        self.visitor: Visitor = house.visit(*names)
        self.read()

    def come_back(self) -> None:
        self.visitor.sock.close()
        self.visitor = self.house.visit(*self.names, after=self.last_id)

    def read(self) -> None:
        """The next frame."""
        frame = parse_frame(self.visitor.read_until(b"\n\n").removesuffix(b"\n\n"))
        if frame.id is None:
            return
        assert frame.data is not None
        before, self.last_id = self.last_id, frame.id
        if not frame.is_event:
            return
        if frame.name == END:
            (name,) = json.loads(frame.data).values()
            assert name not in self.ended
            self.ended.add(name)
        elif frame.name == GAP:
            name = json.loads(frame.data)["stream"]
            self.skipped.add(name)
        else:
            name, number = frame.data.split()
            assert name not in self.ended
            expected = self.seen[name] + 1
            assert int(number) == expected or (int(number) > expected and name in self.skipped)
            self.skipped.discard(name)
            self.seen[name] = int(number)
        places, were = (split_cursor(token or "", self.names) for token in (frame.id, before))
        assert {other for other in self.names if places[other] != were[other]} <= {name}

    def read_up_to(self, published: dict[str, int], ended: set[str]) -> None:
        while any(self.seen[name] < published[name] for name in self.names) or not self.has_all(ended):
            self.read()

    def has_all(self, ended: set[str]) -> bool:
        return ended.intersection(self.names) <= self.ended


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(histories)
def test_every_client_gets_every_entry_once_and_in_order_or_is_told_of_a_gap(
    history: list[tuple[str, str, int]],
) -> None:
    published, ended = dict.fromkeys(STREAMS, 0), set[str]()
    with FaultyBroker(Limits(history=HISTORY)) as broker, closing(hub_of(broker, watchdog=1)) as hub:
        house = House(hub, Disconnect())
        with closing(house):
            readers = [Reader(house, names) for names in READS]

            def send(name: str, count: int) -> None:
                numbers = range(published[name] + 1, published[name] + 1 + count)
                broker.append(name, events(*(f"{name} {number}" for number in numbers)))
                published[name] += count

            for step, name, number in history:
                if step == "cut":
                    if len(ended) < len(STREAMS) and not set(readers[number].names) <= readers[number].ended:
                        readers[number].come_back()
                elif name in ended:
                    continue
                elif step == "end" and len(ended) < len(STREAMS) - 2:
                    broker.end(name)
                    ended.add(name)
                elif step == "publish":
                    send(name, number)
                elif step == "lose":  # more than the log keeps, before anybody looks
                    broker.deaf = True
                    send(name, number)
                    broker.deaf = False
                    send(name, 1)
            for reader in readers:
                reader.read_up_to(published, ended)
