"""Limits of keys: who is told to come back, when, and what it costs to know them."""

from __future__ import annotations

import logging
import re
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask, Response, request

from streamy_backends.memory import MemoryBroker
from streamy_core import InvalidStreamId, StreamManager
from streamy_core.config import Settings
from streamy_core.delivery.gate import LONGEST, Gate, Opens, Waits
from streamy_core.delivery.limits import Limits
from streamy_core.delivery.recent import MOST_KEYS
from streamy_core.delivery.shared_counts import SharedCounts
from streamy_core.testing import EventClient, EventStream, ManualClock, RecordingBroker

from ..support.making import closed_in_the_end

MINUTE = 60.0
KEYS = 3 * MOST_KEYS


def even() -> float:
    return 0.5


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000.0)


def opened(opens: Opens, key: str, times: int) -> list[bool]:
    return [opens.open(key) == 0 for _ in range(times)]


class TestOpens:
    def test_so_many_at_once_and_as_many_again_over_a_minute(self, clock: ManualClock) -> None:
        opens = Opens(6, clock)
        assert opened(opens, "ann", 7) == [True] * 6 + [False]
        assert opens.open("ann") == pytest.approx(10.0)
        clock.advance(10.0)
        assert opened(opens, "ann", 2) == [True, False]
        clock.advance(MINUTE)
        assert opened(opens, "ann", 7) == [True] * 6 + [False]

    def test_who_is_refused_may_come_no_later_for_it(self, clock: ManualClock) -> None:
        opens = Opens(1, clock)
        opens.open("ann")
        for _ in range(59):
            clock.advance(1.0)
            assert opens.open("ann") > 0
        clock.advance(1.0)
        assert opens.open("ann") == 0

    def test_each_key_has_its_own(self, clock: ManualClock) -> None:
        opens = Opens(1, clock)
        assert opened(opens, "ann", 2) + opened(opens, "bob", 2) == [True, False] * 2

    def test_without_a_limit_nothing_is_kept(self, clock: ManualClock) -> None:
        opens = Opens(None, clock)
        assert opened(opens, "ann", 1_000) == [True] * 1_000
        assert len(opens) == 0


class TestWaits:
    def test_they_double_up_to_a_minute(self, clock: ManualClock) -> None:
        waits = Waits(3.0, clock, even)
        waited = []
        for _ in range(7):
            waited.append(waits.next("ann"))
            clock.advance(waited[-1])
        assert waited == [3, 6, 12, 24, 48, 60, 60]
        assert waits.next("bob") == 3

    def test_who_has_stayed_away_begins_anew(self, clock: ManualClock) -> None:
        waits = Waits(3.0, clock, even)
        assert [waits.next("ann") for _ in range(6)][-1] == LONGEST
        clock.advance(3 * MINUTE)
        assert waits.next("ann") == 3

    def test_who_comes_back_when_it_was_told_to_does_not(self, clock: ManualClock) -> None:
        waits = Waits(3.0, clock, lambda: 1.0)
        told = [waits.next("ann")]
        for _ in range(6):
            clock.advance(told[-1])
            told.append(waits.next("ann"))
        assert told == sorted(told)
        assert told[-1] == 1.5 * LONGEST

    def test_not_all_wait_equally_long(self, clock: ManualClock) -> None:
        waits = Waits(4.0, clock)
        found = [waits.next(str(n)) for n in range(100)]
        assert 2.0 <= min(found) < 3.0
        assert 5.0 < max(found) <= 6.0

    def test_a_longer_reconnect_delay_is_the_longest(self, clock: ManualClock) -> None:
        waits = Waits(100.0, clock, even)
        assert [waits.next("ann") for _ in range(3)] == [100.0] * 3


def gate_of(clock: ManualClock, **settings: Any) -> Gate:
    return Gate(Limits(most=None, per_key=None), Settings(clock=clock, **settings))


def test_whatever_keys_come_so_many_are_kept_and_no_more(clock: ManualClock) -> None:
    gate = gate_of(clock, max_opens_per_minute=1)
    limits = Limits(most=None, per_key=1)
    for n in range(KEYS):
        gate.refusal(("news",), str(n))
        gate.refusal(("news",), str(n))
        assert limits.acquire(str(n))
        limits.release(str(n))
    assert len(gate) == 2 * MOST_KEYS


def test_long_keys_take_no_more_memory_than_short_ones(clock: ManualClock) -> None:
    gate = gate_of(clock, max_opens_per_minute=1)
    tracemalloc.start()
    try:
        for n in range(1_000):
            for _ in range(2):
                gate.refusal(("news",), f"{n:010000}")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1_000_000


def test_many_other_keys_make_no_room_for_one_that_keeps_coming(clock: ManualClock) -> None:
    gate = gate_of(clock, max_opens_per_minute=1)
    gate.refusal(("news",), "ann")
    for n in range(MOST_KEYS - 1):
        gate.refusal(("news",), str(n))
    assert gate.refusal(("news",), "ann") is not None


def test_of_those_that_are_kept_the_ones_go_that_have_not_come_for_longest(clock: ManualClock) -> None:
    gate = gate_of(clock, max_opens_per_minute=2)
    gate.refusal(("news",), "ann")
    for n in range(MOST_KEYS - 1):
        gate.refusal(("news",), str(n))
    gate.refusal(("news",), "ann")
    gate.refusal(("news",), "one more")
    assert gate.refusal(("news",), "ann") is not None


def test_of_clients_that_come_at_the_same_time_no_more_stay_than_may() -> None:
    limits = Limits(most=None, per_key=None, shared=SharedCounts(2))
    assert [limits.acquire("ann") for _ in range(3)] == [True, True, False]
    limits.release("ann")
    assert limits.acquire("ann")


def test_the_log_says_now_and_then_which_limit_is_met(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    gate = gate_of(clock, max_opens_per_minute=1, max_streams_per_connection=1)
    with caplog.at_level(logging.WARNING, "streamy.delivery"):
        for _ in range(10):
            gate.refusal(("news",), "ann")
            gate.refusal(("news", "more"), None)
    said = [record.message for record in caplog.records]
    assert len(said) == 2
    assert "STREAMY_MAX_STREAMS_PER_CONNECTION" in said[0]
    assert "STREAMY_MAX_OPENS_PER_MINUTE" in said[1]
    assert "'ann'" in said[1]


class House:
    """An app with these limits, and clients of it."""

    def __init__(self, broker: RecordingBroker | None = None, **settings: Any) -> None:
        self.broker = broker or RecordingBroker(MemoryBroker())
        self.app = Flask(__name__)
        self.app.testing = True
        self.sse = StreamManager(self.app, broker=self.broker, reconnect_delay=2.0, **settings)
        self._open = ExitStack()
        self._open.callback(self.sse.close)

        @self.app.get("/stream")
        def stream() -> Response:
            return self.sse.get_stream(request.args["ids"].split(","), key=request.args.get("key"))

    def connect(self, *streams: str, key: str | None = None) -> EventStream:
        query = {"ids": ",".join(streams or ("news",))} | ({} if key is None else {"key": key})
        path = "/stream?" + "&".join(f"{name}={value}" for name, value in query.items())
        return self._open.enter_context(self._open.enter_context(EventClient(self.app)).open(path))

    def ask(self, *streams: str, key: str | None = None) -> bytes:
        answer = self.app.test_client().get(
            "/stream", query_string={"ids": ",".join(streams), **({"key": key} if key else {})}
        )
        assert answer.status_code == 200
        assert answer.mimetype == "text/event-stream"
        body: bytes = answer.data
        return body

    def close(self) -> None:
        self._open.close()


MakeHouse = Callable[..., House]


@pytest.fixture
def make_house() -> Iterator[MakeHouse]:
    with closed_in_the_end(House) as make:
        yield make


def milliseconds(answer: bytes) -> int:
    """Of an answer that is a `retry:` and no more."""
    found = re.fullmatch(rb"retry: (\d+)\n", answer)
    assert found, answer
    return int(found[1])


def test_who_opens_too_often_is_told_to_come_back_later_and_later(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    house = make_house(max_opens_per_minute=2, clock=clock)
    house.connect(key="ann")
    house.connect(key="ann")
    asked: list[object] = []
    monkeypatch.setattr(house.broker, "tail", asked.append)
    monkeypatch.setattr(house.broker, "read", asked.append)
    told = [milliseconds(house.ask("news", key="ann")) for _ in range(8)]
    assert 30_000 <= told[0] < 31_000  # when it may, if that is later
    assert told[-1] > 30_000
    assert asked == []
    monkeypatch.undo()
    house.connect(key="bob")
    clock.advance(MINUTE / 2)
    house.connect(key="ann")
    house.connect()


def test_who_has_too_many_connections_is_told_before_a_byte_of_the_stream(make_house: MakeHouse) -> None:
    house = make_house(max_connections_per_key_total=2)
    stay = [house.connect(key="ann"), house.connect(key="ann")]
    told = [milliseconds(house.ask("news", key="ann")) for _ in range(5)]
    assert 1_000 <= told[0] <= 3_000
    assert told[-1] >= 16_000
    house.sse.send_event("news", "for those who stay")
    assert [len(each.events(1)) for each in stay] == [1, 1]
    house.connect(key="bob")


def test_a_connection_of_too_many_streams_is_told_to_come_back(make_house: MakeHouse) -> None:
    house = make_house(max_streams_per_connection=3)
    house.connect("a", "b", "c", "c")
    told = [milliseconds(house.ask("a", "b", "c", "d")) for _ in range(5)]
    assert told[-1] >= 16_000
    assert milliseconds(house.ask("a", "b", "c", "d", key="ann")) <= 3_000


def test_more_streams_than_can_be_are_the_views_error(make_house: MakeHouse) -> None:
    house = make_house(max_streams_per_connection=3)
    with pytest.raises(InvalidStreamId, match="1 to 100"):
        house.ask(*(str(n) for n in range(101)))
