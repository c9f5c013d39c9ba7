"""A thread that waits for sockets is woken from any other."""

from __future__ import annotations

import selectors
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from streamy_core.broker import Waker
from streamy_core.testing.reading import DEADLINE


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as selector:
        yield selector


def test_a_waker_wakes_a_selector_from_another_thread(selector: selectors.BaseSelector) -> None:
    with closing(Waker(selector)) as waker:
        threading.Timer(0.01, waker.wake).start()
        ((key, _),) = selector.select(DEADLINE)
        assert key.data is waker


def test_what_a_waker_was_told_before_is_not_forgotten_and_cleared_once(
    selector: selectors.BaseSelector,
) -> None:
    with closing(Waker(selector)) as waker:
        for _ in range(3):
            waker.wake()
        assert selector.select(0)
        waker.clear()
        waker.clear()
        assert not selector.select(0)


def test_a_waker_holds_nobody_up_however_often_it_is_called(selector: selectors.BaseSelector) -> None:
    waker = Waker(selector)
    start = time.monotonic()
    for _ in range(10_000):
        waker.wake()
    assert time.monotonic() - start < DEADLINE
    assert selector.select(0)
    waker.close()
    waker.wake()
