"""Catching up goes in turns, by key, and one that has to wait holds up nobody else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from streamy_core import BrokerUnavailable
from streamy_core.delivery.replayer import THREADS, Replayer
from streamy_core.errors import Closed
from streamy_core.strategies import FixedDelay
from streamy_core.testing.reading import DEADLINE, eventually


@pytest.fixture
def failures() -> list[float | None]:
    """The delay after each."""
    return []


@pytest.fixture
def replayer(failures: list[float | None]) -> Iterator[Replayer]:
    replayer = Replayer(FixedDelay(0.02, retries=1_000), lambda _, delay: failures.append(delay))
    yield replayer
    replayer.close()


def wanted() -> bool:
    return True


@pytest.fixture
def held(replayer: Replayer) -> Iterator[threading.Event]:
    """All threads of the replayer are busy until this is set."""
    held, begun = threading.Event(), SimpleQueue[int]()

    def wait() -> bytes:
        begun.put(1)
        held.wait(DEADLINE)
        return b""

    for _ in range(THREADS):
        replayer.run(wait, lambda data: None, wanted)
    for _ in range(THREADS):
        begun.get(timeout=DEADLINE)
    yield held
    held.set()


def test_what_is_read_is_given_to_who_waits_for_it(replayer: Replayer) -> None:
    found = SimpleQueue[bytes]()
    replayer.run(lambda: b"data", found.put, wanted)
    assert found.get(timeout=DEADLINE) == b"data"


def test_many_clients_of_one_key_have_one_clients_share(replayer: Replayer, held: threading.Event) -> None:
    order: list[str] = []

    def reading(who: str) -> Callable[[], bytes]:
        def read() -> bytes:
            order.append(who)
            return b""

        return read

    for _ in range(100):
        replayer.run(reading("greedy"), lambda data: None, wanted, "greedy")
    for who in ("one", "another"):
        replayer.run(reading(who), lambda data: None, wanted, who)
    held.set()
    eventually(lambda: len(order) == 102, "everybody's turn")
    assert {"one", "another"} <= set(order[: 3 + THREADS])


def test_one_whose_backend_is_away_is_tried_again_and_others_have_their_turn(
    replayer: Replayer, failures: list[float | None]
) -> None:
    found = SimpleQueue[bytes]()
    away = threading.Event()
    away.set()

    def read() -> bytes:
        if away.is_set():
            raise BrokerUnavailable("away")
        return b"back"

    for _ in range(3 * THREADS):
        replayer.run(read, found.put, wanted)
    replayer.run(lambda: b"other", found.put, wanted)
    assert found.get(timeout=DEADLINE) == b"other"
    eventually(lambda: len(failures) > 3 * THREADS, "several attempts")
    away.clear()
    assert [found.get(timeout=DEADLINE) for _ in range(3 * THREADS)] == [b"back"] * 3 * THREADS


def test_what_nobody_waits_for_any_more_is_not_read(replayer: Replayer, held: threading.Event) -> None:
    found, read = SimpleQueue[bytes](), list[int]()
    replayer.run(lambda: read.append(1) or b"", found.put, lambda: False)
    replayer.run(lambda: b"data", found.put, wanted)
    held.set()
    assert found.get(timeout=DEADLINE) == b"data"
    assert (read, found.empty()) == ([], True)


def test_who_leaves_while_the_backend_is_away_is_not_tried_again(
    replayer: Replayer, failures: list[float | None]
) -> None:
    waiting = threading.Event()
    waiting.set()

    def read() -> bytes:
        raise BrokerUnavailable("away")

    replayer.run(read, lambda data: None, waiting.is_set)
    eventually(lambda: len(failures) > 3, "several attempts")
    waiting.clear()
    eventually(lambda: not replayer._later, "nothing more to be tried")
    assert not replayer._running


def test_a_backend_is_slow_once_all_threads_have_waited_for_it(
    replayer: Replayer, held: threading.Event
) -> None:
    assert not replayer.slow
    eventually(lambda: replayer.slow, "that it is known")
    held.set()
    eventually(lambda: not replayer.slow, "the end of it")


@pytest.mark.parametrize("error", [Closed("closed"), ZeroDivisionError()], ids=["closed", "a defect"])
def test_what_can_not_be_read_at_all_is_given_as_nothing(replayer: Replayer, error: Exception) -> None:
    def read() -> bytes:
        raise error

    found = SimpleQueue[bytes]()
    replayer.run(read, found.put, wanted)
    assert found.get(timeout=DEADLINE) == b""


def test_nothing_is_read_any_more_once_it_is_closed(replayer: Replayer) -> None:
    read: list[int] = []
    replayer.close()
    replayer.run(lambda: read.append(1) or b"", lambda data: None, wanted)
    assert read == []
