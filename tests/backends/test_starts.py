"""Where clients begin, in memory, and with a broker that can't find earlier cursors by itself."""

from __future__ import annotations

from typing import Any

import pytest
from _pytest.outcomes import Failed

from streamy_backends.memory import Limits, MemoryBroker
from streamy_core import ConfigError, Last, Since, StreamManager

from .conftest import NewBroker
from .promises.expiring import ExpiringPromises
from .promises.floors import FloorPromises, Room, room
from .promises.starts import StartPromises, begun, publish, sse

__all__ = ["room", "sse"]


class ReadsForward(MemoryBroker):
    """One that finds no earlier cursors."""

    back: Any = None
    since: Any = None


@pytest.fixture
def url() -> str:
    return "memory://"


class TestMemory(StartPromises, ExpiringPromises, FloorPromises):
    @pytest.fixture
    def new_broker(self) -> NewBroker:
        return lambda url, **options: MemoryBroker(Limits(**options))


class TestReadingForward(StartPromises, ExpiringPromises, FloorPromises):
    @pytest.fixture
    def new_broker(self) -> NewBroker:
        return lambda url, **options: ReadsForward(Limits(**options))

    def test_since_begins_with_what_was_published_within_so_many_seconds(self, sse: StreamManager) -> None:
        with pytest.raises(ConfigError, match="ReadsForward can't tell when entries came"):
            sse.subscribe("news", Since(600))

    def test_what_was_published_lately_may_be_all_that_is_read(self, room: Room) -> None:
        room.floor = Since(600)
        with pytest.raises(Failed, match="the stream was over"):
            room.read(room.publish()[0])

    @pytest.mark.parametrize("after", [Last(2**63), Last(10**30)])
    def test_what_is_more_than_all_is_all(self, sse: StreamManager, after: Any) -> None:
        assert publish(sse, "news", 3) == begun(sse, "news", after)
