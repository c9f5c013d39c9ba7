"""A hub over a broker with faults on demand, and readers of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from streamy_backends.memory import Limits
from streamy_core.broker import Broker
from streamy_core.engine.hub import Hub
from streamy_core.engine.log import Log
from streamy_core.engine.reader import Reader
from streamy_core.observers import Observer
from streamy_core.observers.logs import Logs
from streamy_core.strategies import FixedDelay
from streamy_core.testing.reading import DEADLINE

from .doubles import FaultyBroker, Told


@pytest.fixture
def broker() -> Iterator[FaultyBroker]:
    with FaultyBroker(Limits(history=10_000, history_bytes=2**26)) as broker:
        yield broker


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def make_hub(broker: FaultyBroker) -> Iterator[Callable[..., Hub]]:
    with ExitStack() as to_close:

        def make(**options: object) -> Hub:
            hub = hub_of(broker, **options)
            to_close.callback(hub.close)
            return hub

        yield make


@pytest.fixture
def hub(make_hub: Callable[..., Hub]) -> Hub:
    return make_hub()


def hub_of(broker: Broker, *, observer: Observer | None = None, **options: Any) -> Hub:
    """A hub of this broker, which tries again quickly and for long."""
    observer = observer or Logs()
    return Hub(
        Log(broker, observer),
        observer=observer,
        **{"retry": FixedDelay(0.01, retries=1000), **options},
    )


class Follower:
    """Reads streams to their heads whenever the hub wakes it."""

    def __init__(self, hub: Hub, *names: str) -> None:
        self.seen: list[str] = []
        self._bell = threading.Event()
        self._reader = Reader.open(hub, dict.fromkeys(names))
        self._reader.attach(self._bell.set)

    def wait_for(self, *data: str) -> None:
        """Until exactly these have come; fails after the deadline."""
        while self.seen != list(data):
            assert self._bell.wait(DEADLINE), f"{self.seen} came, and not {list(data)}"
            self._bell.clear()
            frames = self._reader.due() + (self._reader.read_lagging() if self._reader.lagging else [])
            for frame in frames:
                self._reader.passed(frame)
                self.seen.append(frame.entry.event.data)

    def leave(self) -> None:
        self._reader.detach()


@pytest.fixture
def follow(hub: Hub) -> Callable[..., Follower]:
    return lambda *names: Follower(hub, *names)
