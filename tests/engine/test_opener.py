"""A request waits for a backend that is silent no longer than it has to, and few do at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from streamy_core import BrokerUnavailable, Closed
from streamy_core.engine.opener import MOST, Opener
from streamy_core.testing.reading import DEADLINE, eventually

from ..support.forks import forks, in_child, succeeds

THREADS = 16


@pytest.fixture
def silence() -> Iterator[threading.Event]:
    """Set when the backend speaks again."""
    silence = threading.Event()
    yield silence
    silence.set()


@pytest.fixture
def opener() -> Opener:
    return Opener()


def test_what_the_backend_answers_is_returned(opener: Opener) -> None:
    assert [opener.run(lambda n=n: n, None) for n in range(10)] == list(range(10))  # type: ignore[misc]


def test_what_the_backend_raises_is_raised(opener: Opener) -> None:
    def fail() -> None:
        raise BrokerUnavailable("away")

    with pytest.raises(BrokerUnavailable, match="away"):
        opener.run(fail, None)


@pytest.mark.slow
@pytest.mark.parametrize(("capacity", "patience"), [(None, 1.0), (8, 1.0), (1, 0.5)])
def test_a_request_gives_up_on_a_silent_backend(
    opener: Opener, silence: threading.Event, capacity: int | None, patience: float
) -> None:
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="has not answered"):
        opener.run(lambda: silence.wait(DEADLINE), capacity)
    assert patience * 0.9 < time.monotonic() - began < patience + 0.5


@pytest.mark.slow
@pytest.mark.parametrize(("capacity", "most"), [(None, MOST), (16, MOST), (8, 2), (4, 1), (1, 1)])
def test_while_some_wait_for_a_silent_backend_all_others_are_refused_at_once(
    opener: Opener, silence: threading.Event, capacity: int | None, most: int
) -> None:
    begun: list[int] = []

    def ask() -> None:
        begun.append(1)
        silence.wait(DEADLINE)

    with ThreadPoolExecutor(THREADS) as pool:
        first = [pool.submit(opener.run, ask, capacity) for _ in range(most)]
        eventually(lambda: len(begun) == most, "those who wait")
        time.sleep(0.55)  # by now it is slow, and not merely busy
        began = time.monotonic()
        for _ in range(50):
            with pytest.raises(BrokerUnavailable, match="slow"):
                opener.run(ask, capacity)
        assert time.monotonic() - began < 0.1
        assert len(begun) == most
        assert all(isinstance(one.exception(DEADLINE), BrokerUnavailable) for one in first)


@pytest.mark.slow
def test_one_request_at_a_time_looks_whether_a_backend_that_was_given_up_is_back(
    opener: Opener, silence: threading.Event
) -> None:
    def time_out() -> None:
        silence.wait(0.6)
        raise BrokerUnavailable("timed out")

    with pytest.raises(BrokerUnavailable, match="timed out"):
        opener.run(time_out, 16)
    begun = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(opener.run, lambda: begun.set() or silence.wait(DEADLINE), 16)
        assert begun.wait(DEADLINE)
        for _ in range(50):
            with pytest.raises(BrokerUnavailable, match="slow"):
                opener.run(lambda: 1, 16)
        assert isinstance(looking.exception(DEADLINE), BrokerUnavailable)


def test_a_backend_that_speaks_again_is_asked_again(opener: Opener, silence: threading.Event) -> None:
    with pytest.raises(BrokerUnavailable):
        opener.run(lambda: silence.wait(DEADLINE), 1)
    silence.set()
    eventually(lambda: _answer(opener) == "here", "an answer")


def _answer(opener: Opener) -> str | None:
    try:
        return opener.run(lambda: "here", 1)
    except BrokerUnavailable:
        return None


def test_many_requests_at_once_are_all_answered_by_a_quick_backend(opener: Opener) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(lambda n: opener.run(lambda: n, THREADS), range(500))) == list(range(500))


def test_closing_leaves_no_thread(opener: Opener) -> None:
    before = set(threading.enumerate())
    assert opener.run(lambda: 1, None) == 1
    opener.close()
    eventually(lambda: set(threading.enumerate()) <= before, "the end of its threads")
    with pytest.raises(Closed):
        opener.run(lambda: 1, None)


@forks
def test_a_forked_process_asks_by_threads_of_its_own(opener: Opener) -> None:
    assert opener.run(lambda: 1, None) == 1

    def ask() -> None:
        assert opener.run(lambda: 2, None) == 2

    assert succeeds(in_child(ask))
