"""The most connections of a key in all processes together: real ones, and what they tell each other."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from streamy_backends.memory import MemoryBroker
from streamy_core.delivery import sharing
from streamy_core.events import CONNECTIONS
from streamy_core.testing import FaultyBroker
from streamy_core.testing.reading import eventually

from ..support.making import closed_in_the_end
from ..support.workers import Workers
from .test_gate import House

TOTAL = 3
LIMIT = "STREAMY_MAX_CONNECTIONS_PER_KEY_TOTAL"


def is_let_in(workers: Workers, pid: int, key: str) -> bool:
    """Whether this worker lets a client of this key in, which leaves at once."""
    with workers.client_of(pid, "news", key=key) as client:
        return not client.header("Content-Length")


@pytest.mark.slow
@pytest.mark.parametrize("delivery", ["wsgi", "detached"])
def test_two_workers_let_in_no_more_than_the_limit(tmp_path: Path, delivery: str) -> None:
    settings = {LIMIT: TOTAL, "STREAMY_DELIVERY": delivery}
    with (
        ExitStack() as stay,
        Workers(tmp_path / "log", f"sqlite:///{tmp_path}/streams.db", settings).start() as workers,
    ):
        one, other = workers.pids
        clients = [stay.enter_context(workers.client_of(pid, "news", key="ann")) for pid in (one, one, other)]
        for client in clients:
            client.read_opening()
        eventually(lambda: not is_let_in(workers, other, "ann"), "the other worker refuses")
        eventually(lambda: not is_let_in(workers, one, "ann"), "the worker refuses")
        assert is_let_in(workers, one, "bob")
        workers.send("news", "for those who stay")
        for client in clients:
            assert [message.data for message in client.read(1)] == ["for those who stay"]
        clients[0].close()
        eventually(lambda: is_let_in(workers, other, "ann"), "there is room again")


MakeHouse = Callable[..., House]


@pytest.fixture
def broker() -> FaultyBroker:
    """One that takes itself for a broker that processes share."""
    broker = FaultyBroker(MemoryBroker())
    broker.shared = True
    return broker


@pytest.fixture
def make_house(broker: FaultyBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeHouse]:
    """Managers of that broker, which tell each other more often than others do."""
    monkeypatch.setattr(sharing, "PERIOD", 0.02)
    monkeypatch.setattr(sharing, "_LATER", 0.02)
    with closed_in_the_end(partial(House, broker)) as make:
        yield make


def is_refused(house: House, key: str = "ann") -> bool:
    return house.sse.binding.delivery.refusal(("news",), key) is not None


def test_without_the_setting_nothing_is_told(make_house: MakeHouse, broker: FaultyBroker) -> None:
    house = make_house(max_connections_per_key=5)
    house.connect(key="ann")
    assert not [thread for thread in threading.enumerate() if thread.name == "streamy-counts"]
    assert broker.events(CONNECTIONS) == []


def test_a_broker_that_nobody_shares_is_told_nothing(make_house: MakeHouse, broker: FaultyBroker) -> None:
    broker.shared = False
    house = make_house(max_connections_per_key_total=1)
    house.connect(key="ann")
    assert is_refused(house)
    assert not [thread for thread in threading.enumerate() if thread.name == "streamy-counts"]


def test_what_is_told_has_no_key_in_it_and_is_no_users_stream(
    make_house: MakeHouse, broker: FaultyBroker
) -> None:
    house = make_house(max_connections_per_key_total=1)
    house.connect(key="ann@example.org")
    eventually(lambda: any('"n":{"' in event.data for event in broker.events(CONNECTIONS)), "it is told")
    assert not any("ann" in event.data for event in broker.events(CONNECTIONS))
    assert house.sse.health.streams == 1


def test_many_that_come_and_go_are_told_in_few_messages(
    make_house: MakeHouse, broker: FaultyBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "PERIOD", 0.3)
    house, other = make_house(max_connections_per_key_total=9), make_house(max_connections_per_key_total=9)
    other.connect(key="bob")
    began = time.monotonic()
    for number in range(30):
        house.connect(key=f"key {number}").close()
    house.connect(key="ann")
    counts = other.sse.binding.delivery.counts
    assert counts is not None
    eventually(lambda: counts.elsewhere("ann") == 1, "it is heard")
    assert len(broker.events(CONNECTIONS)) <= 2 * (2 + (time.monotonic() - began) / 0.3)


def test_messages_that_cannot_be_stored_are_told_again(
    make_house: MakeHouse, broker: FaultyBroker, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = make_house(max_connections_per_key_total=1), make_house(max_connections_per_key_total=1)
    other.connect(key="bob")
    broker.fail_next_append(5)
    with caplog.at_level(logging.WARNING, "streamy.delivery"):
        one.connect(key="ann")
        eventually(lambda: is_refused(other), "the other knows")
    assert any("each counts its own" in record.message for record in caplog.records)


def test_a_client_that_leaves_makes_room_elsewhere(make_house: MakeHouse) -> None:
    one, other = make_house(max_connections_per_key_total=1), make_house(max_connections_per_key_total=1)
    other.connect(key="bob")
    client = one.connect(key="ann")
    eventually(lambda: is_refused(other), "the other knows")
    client.close()
    eventually(lambda: not is_refused(other), "there is room again")


def test_one_that_is_closed_leaves_room_at_once(make_house: MakeHouse) -> None:
    one, other = make_house(max_connections_per_key_total=1), make_house(max_connections_per_key_total=1)
    other.connect(key="bob")
    one.connect(key="ann")
    eventually(lambda: is_refused(other), "the other knows")
    one.close()
    eventually(lambda: not is_refused(other), "there is room again")
