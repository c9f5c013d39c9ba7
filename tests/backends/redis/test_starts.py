"""Where clients begin, on every kind of server."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from redis.exceptions import MovedError

from streamy_backends.redis.keys import Keys
from streamy_core import GAP, Last

from ..conftest import NewManager
from ..promises.expiring import ExpiringPromises
from ..promises.floors import FloorPromises, LostFloorPromises, room
from ..promises.starts import StartPromises, begun, publish, sse
from .conftest import ALL_KINDS

pytestmark = pytest.mark.slow

__all__ = ["room", "sse"]


@pytest.fixture(params=[*ALL_KINDS, "cluster"])
def server(request: pytest.FixtureRequest, shared: Callable[[str], Any]) -> Any:
    return shared(request.param)


@pytest.fixture
def url(server: Any) -> str:
    found: str = server.url
    return found


class TestStarts(StartPromises, ExpiringPromises, FloorPromises, LostFloorPromises):
    @pytest.fixture
    def lose(self, server: Any, prefix: str) -> Callable[[str], object]:
        def lose(stream_id: str) -> None:
            for node in getattr(server, "nodes", [server]):
                with suppress(MovedError):
                    node.client.delete(*Keys(prefix).for_read(stream_id))

        return lose


def test_a_hole_at_the_place_is_no_reason_to_begin_with_the_oldest(
    new_manager: NewManager, shared: Callable[[str], Any], prefix: str
) -> None:
    server = shared("valkey")
    sse = new_manager(server.url)
    publish(sse, "news", 50)
    log = Keys(prefix).for_read("news")[1]
    (entry,) = server.client.xrange(log, 47, 47)
    server.client.xdel(log, entry[0])
    assert [entry.event.data for entry in sse.history("news", 3).entries] == ["47", "48", "49"]
    assert begun(sse, "news", Last(3)) == [GAP, "47", "48", "49"]
