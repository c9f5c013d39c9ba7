"""The canary goes through the broker and back, in each process by itself, and nobody else sees it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from streamy_core import InvalidStreamId, StreamManager
from streamy_core.engine.canary import Canary
from streamy_core.engine.health import Part, Trouble
from streamy_core.engine.hub import Hub
from streamy_core.events import CANARY, Event, check_stream_id
from streamy_core.observers import Observer
from streamy_core.testing.reading import DEADLINE, eventually

from ..support.forks import forks, told_by_child
from .doubles import FaultyBroker

pytestmark = pytest.mark.slow

OFTEN = 0.02
SOON = 0.3


class Hearing(Observer):
    """Remembers how long each took."""

    def __init__(self) -> None:
        self.heard: list[float] = []

    def bell_heard(self, seconds: float) -> None:
        self.heard.append(seconds)


@pytest.fixture
def hearing() -> Hearing:
    return Hearing()


@pytest.fixture
def make_canary(broker: FaultyBroker, make_hub: Callable[..., Hub]) -> Iterator[Callable[..., Canary]]:
    with ExitStack() as to_close:

        def make(**options: object) -> Canary:
            hub = make_hub(**({"watchdog": options.pop("watchdog")} if "watchdog" in options else {}))

            def tell(stream_id: str, event: Event) -> None:
                broker.append(stream_id, [event])

            given = {"tell": tell, "interval": OFTEN, "rings_within": SOON, "observer": Observer()}
            canary = Canary(hub, **{**given, **options})  # type: ignore[arg-type]
            to_close.callback(canary.close)
            return canary

        yield make


@pytest.fixture
def canary(make_canary: Callable[..., Canary], hearing: Hearing) -> Canary:
    return make_canary(observer=hearing)


def bell(canary: Canary) -> Trouble | None:
    return canary.trips.bell(canary.now)


def broker_trouble(canary: Canary) -> Trouble | None:
    return canary.trips.broker(canary.now)


def names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def streams(broker: FaultyBroker) -> dict[str, int]:
    """The canaries' streams, and how many entries they have."""
    return {info.stream_id: info.entries for info in broker.streams() if info.stream_id.startswith(CANARY)}


def test_nothing_is_appended_and_no_thread_runs_before_somebody_asks(
    canary: Canary, broker: FaultyBroker
) -> None:
    assert not canary.running
    assert canary.last is None
    assert "streamy-canary" not in names_of_threads()
    assert streams(broker) == {}


def test_one_entry_after_another_comes_back_and_observers_are_told_how_soon(
    canary: Canary, hearing: Hearing
) -> None:
    canary.start()
    eventually(lambda: len(hearing.heard) >= 3, "three entries have come back")
    assert all(0 <= seconds < DEADLINE for seconds in hearing.heard)
    assert canary.last is not None
    assert (bell(canary), broker_trouble(canary)) == (None, None)


def test_however_often_it_is_started_one_thread_runs(canary: Canary) -> None:
    for _ in range(5):
        canary.start()
    assert names_of_threads().count("streamy-canary") == 1


def test_who_asks_first_waits_until_something_is_known_and_no_longer(
    make_canary: Callable[..., Canary],
) -> None:
    canary = make_canary(interval=60.0, rings_within=60.0)
    canary.start()
    canary.wait_until_known(10.0)
    assert canary.last is not None

    lost = make_canary(interval=60.0, rings_within=60.0, tell=lambda stream_id, event: None)
    lost.start()
    began = time.monotonic()
    for _ in range(100):
        lost.wait_until_known(0.1)
    assert 0.05 < time.monotonic() - began < 5.0
    assert not lost.trips.known(lost.now)


def test_a_deaf_process_notices_although_all_else_works(canary: Canary, broker: FaultyBroker) -> None:
    canary.start()
    eventually(lambda: canary.last is not None, "it hears")
    broker.deaf = True
    eventually(lambda: bell(canary), "it notices that it is deaf")
    assert broker_trouble(canary) is None
    broker.deaf = False
    eventually(lambda: bell(canary) is None, "it hears again")


def test_what_the_watchdog_finds_doesnt_make_a_deaf_process_hear(
    make_canary: Callable[..., Canary], broker: FaultyBroker, hearing: Hearing
) -> None:
    canary = make_canary(observer=hearing, watchdog=3 * SOON)
    canary.start()
    eventually(lambda: canary.last is not None, "it hears")
    broker.deaf = True
    eventually(lambda: bell(canary), "it notices that it is deaf")
    count = len(hearing.heard)
    seen: list[bool] = []

    def found_by_the_watchdog() -> bool:
        seen.append(bell(canary) is not None)
        return len(hearing.heard) >= count + 20

    eventually(found_by_the_watchdog, "the look at all streams has found entries")
    assert all(seen)


def test_a_broker_that_is_away_is_noticed_and_so_is_its_return(canary: Canary, broker: FaultyBroker) -> None:
    canary.start()
    eventually(lambda: canary.last is not None, "it hears")
    broker.away.set()
    eventually(lambda: broker_trouble(canary), "it notices that the broker is away")
    found = broker_trouble(canary)
    assert found is not None
    assert "the broker is away" in found.detail
    broker.away.clear()
    eventually(lambda: (broker_trouble(canary), bell(canary)) == (None, None), "it notices its return")


def test_one_that_begins_while_the_broker_is_away_knows_it(canary: Canary, broker: FaultyBroker) -> None:
    broker.away.set()
    canary.start()
    canary.wait_until_known(10.0)
    found = broker_trouble(canary)
    assert found is not None
    assert found.what is Part.BROKER


def test_an_observer_that_blocks_is_noticed(make_canary: Callable[..., Canary]) -> None:
    over = threading.Event()

    class Blocking(Observer):
        def bell_heard(self, seconds: float) -> None:
            over.wait(10)

    canary = make_canary(observer=Blocking())
    canary.start()
    eventually(lambda: canary.stuck_for > 0.1, "its thread is stuck")
    over.set()
    eventually(lambda: canary.stuck_for < 0.1, "it goes on")


def test_a_closed_one_appends_no_more_and_its_thread_ends(canary: Canary, broker: FaultyBroker) -> None:
    canary.start()
    eventually(lambda: canary.last is not None, "it hears")
    canary.close()
    canary.close()
    assert "streamy-canary" not in names_of_threads()
    before = streams(broker)
    canary.start()
    eventually(lambda: "streamy-canary" not in names_of_threads(), "no thread stays")
    assert streams(broker) == before


@forks
def test_a_forked_process_has_a_canary_of_its_own(canary: Canary) -> None:
    canary.start()
    eventually(lambda: canary.last is not None, "it hears")
    own = canary._me

    def child() -> str:
        before = (canary.running, canary.last)
        canary.start()
        eventually(lambda: canary.last is not None, "the child hears itself")
        return f"{before} {canary._me == own} {bell(canary)}"

    assert told_by_child(child) == "(False, None) False None"


def test_no_page_can_name_its_stream() -> None:
    with pytest.raises(InvalidStreamId):
        check_stream_id(f"{CANARY}0")


def test_all_processes_there_ever_were_leave_few_streams(make_canary: Callable[..., Canary]) -> None:
    assert len({make_canary()._stream for _ in range(500)}) <= 64


def test_its_stream_is_none_of_the_users() -> None:
    with StreamManager(canary_interval=OFTEN) as sse:
        sse.binding.engine.canary.start()
        eventually(lambda: sse.health.bell_seconds is not None, "it hears")
        assert sse.health.streams == 0
