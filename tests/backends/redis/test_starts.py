"""Where clients begin, on every kind of server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamy_backends.redis.keys import Keys
from streamy_core import GAP, Last

from ..conftest import NewManager
from ..promises.expiring import ExpiringPromises
from ..promises.starts import StartPromises, begun, publish, sse
from .conftest import ALL_KINDS

__all__ = ["sse"]


@pytest.fixture(params=[*ALL_KINDS, "cluster"])
def url(request: pytest.FixtureRequest, shared: Callable[[str], Any]) -> str:
    found: str = shared(request.param).url
    return found


class TestStarts(StartPromises, ExpiringPromises):
    pass


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
