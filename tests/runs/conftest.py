"""Managers of one backend, as several processes have them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from streamy_backends.memory import MemoryBroker
from streamy_core import OLDEST, Entry, RunEnd, StreamManager
from streamy_core.broker import Broker
from streamy_core.testing.reading import DEADLINE

Managers = Callable[..., StreamManager]


@pytest.fixture(params=["memory", "sqlite"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker | str]:
    """What several managers may be given, and have the same streams then."""
    if request.param == "memory":
        with MemoryBroker() as broker:
            yield broker
    else:
        yield f"sqlite:///{tmp_path / 'streams.db'}?create_tables=true"


@pytest.fixture
def managers(backend: Broker | str) -> Iterator[Managers]:
    """Makes managers, each as a process of its own has one."""
    with ExitStack() as to_close:

        def make(**settings: object) -> StreamManager:
            return to_close.enter_context(StreamManager(broker=backend, **settings))

        yield make


@pytest.fixture
def sse(managers: Managers) -> StreamManager:
    return managers()


class Reading:
    """A reader of a run's stream from its beginning: all that it is told."""

    def __init__(self, sse: StreamManager, stream_id: str) -> None:
        self._stream_id = stream_id
        self._entries = sse.subscribe(stream_id, after=OLDEST)

    def rest(self, within: float = DEADLINE) -> list[Entry]:
        """What comes up to the end."""
        found: list[Entry] = []
        over = time.monotonic() + within
        while self._stream_id not in self._entries.ends:
            entry = self._entries.next(max(0.0, over - time.monotonic()))
            if entry is None:
                break
            found.append(entry)
        assert self._stream_id in self._entries.ends, (
            f"no end within {within:g} s, after {len(found)} entries"
        )
        return found

    @property
    def end(self) -> RunEnd | None:
        return self._entries.ends[self._stream_id]

    def close(self) -> None:
        self._entries.close()


@pytest.fixture
def read() -> Iterator[Callable[[StreamManager, str], Reading]]:
    with ExitStack() as to_close:

        def reading(sse: StreamManager, stream_id: str) -> Reading:
            found = Reading(sse, stream_id)
            to_close.callback(found.close)
            return found

        yield reading


Read = Callable[[StreamManager, str], Reading]
