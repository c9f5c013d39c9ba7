"""When a process is ready, and when only a restart can help it: by a clock that the tests move."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from streamy_core.delivery.servers import Server
from streamy_core.engine.canary import Canary
from streamy_core.engine.health import Part, Trouble
from streamy_core.engine.hub import Hub
from streamy_core.engine.reader import Reader
from streamy_core.events import Event
from streamy_core.health import Checkup
from streamy_core.observers import Observer
from streamy_core.testing import ManualClock
from streamy_core.testing.reading import DEADLINE, events, eventually

from ..engine.conftest import hub_of
from ..engine.doubles import FaultyBroker

SERVER = Server()
EVERY = 2.0


class Delivery:
    """As far as a checkup asks it: a loop that hasn't turned for so long."""

    stuck = 0.0

    def stuck_for(self) -> float:
        return self.stuck


class Stage:
    """A process, with a clock that is moved second by second."""

    def __init__(self) -> None:
        self.clock = ManualClock(1_000.0)
        self.broker = FaultyBroker()
        self.hub: Hub = hub_of(self.broker, clock=self.clock)
        self.delivery: Any = Delivery()
        self.canary = Canary(
            self.hub,
            self._tell,
            interval=EVERY,
            rings_within=2.0,
            observer=Observer(),
            clock=self.clock,
        )
        engine: Any = SimpleNamespace(hub=self.hub, canary=self.canary)
        self.checkup = Checkup(engine, self.delivery)
        self.rounds = 0
        self.canary.on_beat = self._beat

    def _tell(self, stream_id: str, event: Event) -> None:
        self.broker.append(stream_id, [event])

    def ready(self) -> list[Part]:
        return [trouble.what for trouble in self.checkup.ready(SERVER)]

    def live(self) -> list[Part]:
        return [trouble.what for trouble in self.checkup.live()]

    def becomes(self, *parts: Part) -> None:
        """Wait until exactly these are wrong, without the clock's going on."""
        eventually(lambda: self.ready() == list(parts), f"{parts} are wrong")

    def pass_by(self, seconds: int) -> None:
        """Let so many seconds go by, in which all threads do what they have to do."""
        for _ in range(seconds):
            self.clock.advance(1.0)
            for _ in range(2):  # the first may have begun before
                self._round()

    def _round(self) -> None:
        before = self.rounds
        self.canary._woken.set()
        eventually(lambda: self.rounds > before, "the canary has come round")

    def _beat(self) -> None:
        self.checkup._note()
        self.rounds += 1

    def close(self) -> None:
        self.canary.close()
        self.hub.close()
        self.broker.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


@pytest.fixture
def ready_stage(stage: Stage) -> Stage:
    stage.becomes()
    return stage


def test_a_process_that_nobody_has_asked_says_nothing_is_wrong_and_appends_nothing(stage: Stage) -> None:
    assert stage.checkup.known() == []
    assert list(stage.broker.streams()) == []


def test_without_a_client_it_is_ready_and_the_first_answer_says_so(stage: Stage) -> None:
    assert stage.ready() == []
    assert stage.canary.last is not None


def test_a_broker_that_is_away_is_told_within_five_seconds_on_an_idle_worker(ready_stage: Stage) -> None:
    ready_stage.broker.away.set()
    ready_stage.pass_by(4)
    assert Part.BROKER in ready_stage.ready()


def test_a_deaf_worker_is_told_within_five_seconds(ready_stage: Stage) -> None:
    ready_stage.broker.deaf = True
    ready_stage.pass_by(5)
    assert ready_stage.ready() == [Part.BELL]


def test_a_loop_that_stands_still_is_told_after_two_seconds(ready_stage: Stage) -> None:
    ready_stage.delivery.stuck = 1.9
    assert ready_stage.ready() == []
    ready_stage.delivery.stuck = 2.0
    assert ready_stage.checkup.ready(SERVER) == [Trouble(Part.LOOP, 2.0, "the event loop doesn't turn")]


def held_hub(stage: Stage) -> threading.Event:
    """Have something hold the hub's thread, until this is set."""
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        over.wait(3 * DEADLINE)

    Reader.open(stage.hub, {"news": None}).attach(hold)
    stage.broker.append("news", events("a"))
    assert held.wait(DEADLINE)
    return over


def test_a_hub_that_is_held_is_told_and_after_a_minute_it_is_a_reason_to_restart(ready_stage: Stage) -> None:
    over = held_hub(ready_stage)
    ready_stage.pass_by(3)
    assert Part.HUB in ready_stage.ready()
    ready_stage.pass_by(55)
    assert ready_stage.live() == []
    ready_stage.pass_by(3)
    assert ready_stage.live() == [Part.HUB]
    over.set()


def test_a_hub_that_is_held_is_no_reason_to_restart_while_the_broker_is_away(ready_stage: Stage) -> None:
    over = held_hub(ready_stage)
    ready_stage.broker.away.set()
    ready_stage.pass_by(90)
    assert set(ready_stage.ready()) == {Part.BROKER, Part.HUB}
    assert ready_stage.live() == []
    over.set()


def test_a_loop_that_stands_still_for_a_minute_is_a_reason_to_restart_whatever_the_broker_does(
    ready_stage: Stage,
) -> None:
    ready_stage.broker.away.set()
    ready_stage.delivery.stuck = 59.0
    ready_stage.pass_by(4)
    assert ready_stage.live() == []
    ready_stage.delivery.stuck = 61.0
    assert ready_stage.live() == [Part.LOOP]


@pytest.mark.parametrize("seconds", [30, 120])
def test_no_blip_of_the_broker_restarts_a_worker_and_ready_comes_back_by_itself(
    ready_stage: Stage, seconds: int
) -> None:
    ready_stage.broker.away.set()
    ready_stage.pass_by(5)
    for _ in range(seconds // 10):
        ready_stage.pass_by(10)
        assert ready_stage.live() == []
        assert Part.BROKER in ready_stage.ready()
    (away, *_) = ready_stage.checkup.ready(SERVER)
    assert seconds <= away.seconds <= seconds + 5
    ready_stage.broker.away.clear()
    ready_stage.pass_by(2)
    ready_stage.becomes()


def test_a_deaf_minute_restarts_nobody(ready_stage: Stage) -> None:
    ready_stage.broker.deaf = True
    ready_stage.pass_by(90)
    assert ready_stage.ready() == [Part.BELL]
    assert ready_stage.live() == []


class Stopping(Server):
    """A server that was told to stop, or wasn't yet."""

    def __init__(self) -> None:
        self.told = False
        self.asked = 0

    def stopping(self) -> Callable[[], bool]:
        self.asked += 1
        return lambda: self.told


def test_a_server_that_stops_is_ready_no_more_at_once_and_live(ready_stage: Stage) -> None:
    checkup = Checkup(SimpleNamespace(hub=ready_stage.hub, canary=ready_stage.canary), Delivery())  # type: ignore[arg-type]
    server = Stopping()
    assert checkup.ready(server) == []
    server.told = True
    assert [trouble.what for trouble in checkup.ready(server)] == [Part.STOPPING]
    assert checkup.live() == []
    assert server.asked == 1, "what tells it is looked up once: it may take a while to find"


def test_who_has_been_closed_is_ready_no_more_and_live(ready_stage: Stage) -> None:
    ready_stage.hub.close()
    assert ready_stage.ready() == [Part.STOPPING]
    assert ready_stage.live() == []


def test_what_changes_is_logged_once_and_so_is_its_end(
    ready_stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> list[tuple[str, str]]:
        return [(line.levelname, line.message) for line in caplog.records if line.name == "streamy.health"]

    with caplog.at_level(logging.INFO, "streamy.health"):
        ready_stage.broker.deaf = True
        ready_stage.pass_by(20)
        assert told() == [
            (
                "WARNING",
                "this process isn't ready: bell: what this process has appended was not heard in time",
            )
        ]
        ready_stage.broker.deaf = False
        ready_stage.pass_by(4)
        ready_stage.becomes()
        ready_stage.pass_by(3)
        assert told()[1:] == [("INFO", "this process is ready again")]
