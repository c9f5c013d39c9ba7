"""Where clients begin, in memory, and with a broker that can't find earlier cursors by itself."""

from __future__ import annotations

from typing import Any

import pytest

from streamy_backends.memory import Limits, MemoryBroker
from streamy_core import ConfigError, Last, Since, StreamManager

from .conftest import NewBroker
from .promises.expiring import ExpiringPromises
from .promises.starts import StartPromises, begun, publish, sse

__all__ = ["sse"]


class ReadsForward(MemoryBroker):
    """One that finds no earlier cursors."""

    back: Any = None
    since: Any = None


@pytest.fixture
def url() -> str:
    return "memory://"


class TestMemory(StartPromises, ExpiringPromises):
    @pytest.fixture
    def new_broker(self) -> NewBroker:
        return lambda url, **options: MemoryBroker(Limits(**options))


class TestReadingForward(StartPromises, ExpiringPromises):
    @pytest.fixture
    def new_broker(self) -> NewBroker:
        return lambda url, **options: ReadsForward(Limits(**options))

    def test_since_begins_with_what_was_published_within_so_many_seconds(self, sse: StreamManager) -> None:
        with pytest.raises(ConfigError, match="ReadsForward can't tell when entries came"):
            sse.subscribe("news", Since(600))

    @pytest.mark.parametrize("after", [Last(2**63), Last(10**30)])
    def test_what_is_more_than_all_is_all(self, sse: StreamManager, after: Any) -> None:
        assert publish(sse, "news", 3) == begun(sse, "news", after)
