"""Fixtures that the tests of every backend share. `new_broker` is the backend's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from streamy_core import StreamManager
from streamy_core.broker import Broker
from streamy_core.strategies import FixedDelay, RetryPolicy

from ..support.process import stopped_in_the_end

NewBroker = Callable[..., Broker]
NewManager = Callable[..., StreamManager]


@pytest.fixture(scope="session")
def shared_servers() -> Iterator[dict[str, Any]]:
    """Servers that tests share, by kind."""
    with stopped_in_the_end() as started:
        yield started


@pytest.fixture
def new_manager(new_broker: NewBroker) -> Iterator[NewManager]:
    """Makes managers, each with a broker of its own by URL and options; they try again for seconds."""
    with ExitStack() as to_close:

        def make(url: str, *, retry: RetryPolicy | None = None, **options: Any) -> StreamManager:
            broker = new_broker(url, **options)
            return to_close.enter_context(
                StreamManager(broker=broker, retry=retry or FixedDelay(0.05, retries=150))
            )

        yield make
