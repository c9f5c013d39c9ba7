"""Where clients begin, on every kind of database."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from streamy_core import GAP, Last, Since, StreamManager
from streamy_core.broker import Forgets

from ..conftest import NewManager
from ..promises.expiring import ExpiringPromises
from ..promises.floors import FloorPromises, LostFloorPromises, Room, room
from ..promises.starts import StartPromises, begun, publish, read_by_pages, sse
from .conftest import NewEngine

__all__ = ["room", "sse"]


class TestStarts(StartPromises, ExpiringPromises, FloorPromises, LostFloorPromises):
    @pytest.fixture
    def lose(self, room: Room) -> Callable[[str], object]:
        broker = room.sse.broker
        assert isinstance(broker, Forgets)
        return lambda stream_id: broker.forget(0)


@pytest.fixture
def damaged(new_manager: NewManager, new_engine: NewEngine, url: str, prefix: str) -> StreamManager:
    """Its stream has 50 entries, of which the 47th is deleted, and the 16th to 20th can't be read."""
    sse = new_manager(url)
    publish(sse, "news", 50)
    with new_engine(url).begin() as connection:
        connection.execute(text(f"DELETE FROM {prefix}entries WHERE sequence = 47"))
        connection.execute(text(f"UPDATE {prefix}entries SET retry = -5 WHERE sequence BETWEEN 16 AND 20"))
    return sse


def test_a_hole_at_the_place_is_no_reason_to_begin_with_the_oldest(damaged: StreamManager) -> None:
    assert [entry.event.data for entry in damaged.history("news", 3).entries] == ["47", "48", "49"]
    assert begun(damaged, "news", Last(3)) == [GAP, "47", "48", "49"]
    assert damaged.history("news", 3).before is not None
    assert "0" in begun(damaged, "news", Since(600))


def test_a_page_of_what_can_not_be_read_does_not_end_the_paging(damaged: StreamManager) -> None:
    found = read_by_pages(damaged, "news", 5)
    assert found == [str(number) for number in range(50) if number not in (15, 16, 17, 18, 19, 46)]
