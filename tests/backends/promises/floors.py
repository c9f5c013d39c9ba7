"""How far back clients may read: the same on every backend."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from flask import Flask

from streamy_core import GAP, NOW, OLDEST, Last, Since, StreamManager
from streamy_core.ids import UNPLACEABLE, join_cursors
from streamy_core.testing import EventClient

from ..conftest import NewManager

PUBLISHED: Final = 12
MARK: Final = "mark"


class Room:
    """Two streams of one app, and clients of them that may read no further back than `floor`."""

    def __init__(self, sse: StreamManager) -> None:
        self.sse = sse
        self.floor: Any = None
        self.after: Any = None
        self.ids: list[str] = []
        self._marks = 0
        app = Flask(__name__)
        sse.init_app(app)

        @app.get("/room")
        def room() -> Any:
            return sse.get_stream("room", after=self.after, floor=self.floor)

        @app.get("/both")
        def both() -> Any:
            return sse.get_stream(["room", "other"], after=self.after, floor=self.floor)

        self.client = EventClient(app)

    def publish(self, count: int = 1) -> list[str]:
        """Publish numbers, of which the n-th is n. Returns the ids of them all."""
        for _ in range(count):
            self.ids.append(self.sse.send_event("room", str(len(self.ids))))
        return self.ids

    def read(self, cursor: str | None, path: str = "/room") -> list[str]:
        """What a client gets that comes with this cursor, up to an event that is published then."""
        self._marks += 1
        mark = f"{MARK} {self._marks}"
        with self.client.open(path, last_event_id=cursor) as stream:
            self.sse.send_event("room", mark)
            self.ids.append("")
            came: list[str] = []
            while mark not in came:
                event = stream.events(1)[0]
                came.append(GAP if event.type == GAP else event.data)
        return [data for data in came if not data.startswith(MARK)]

    def close(self) -> None:
        self.client.close()


@pytest.fixture
def room(new_manager: NewManager, url: str) -> Iterator[Room]:
    room = Room(new_manager(url))
    yield room
    room.close()


class FloorPromises:
    """A subclass has fixtures `url` and `new_manager`."""

    @pytest.mark.parametrize("path", ["/room", "/both"])
    def test_whatever_cursor_is_brought_nothing_before_the_floor_is_read(self, room: Room, path: str) -> None:
        ids = room.publish(PUBLISHED)[:]
        other = room.sse.cursor("other")
        joined = join_cursors({"room": ids[5], "other": other})
        room.floor = ids[5] if path == "/room" else joined
        chance = random.Random(5)
        forged = [f"{each[:-3]}{''.join(chance.sample('abcXYZ019', 3))}" for each in ids[3:9]]
        for cursor in [UNPLACEABLE, "nonsense", joined, f"{ids[2]}x", *ids, *forged]:
            came = room.read(cursor, path)
            numbers = [int(data) for data in came if data != GAP]
            assert numbers == sorted(set(numbers)), cursor
            assert min(numbers, default=99) > 5, f"{cursor} gave {came}"
            if path == "/room" and cursor in ids:
                newer = ids.index(cursor) >= 5
                assert numbers == list(range(max(ids.index(cursor), 5) + 1, PUBLISHED)), cursor
                assert (GAP in came) != newer, cursor

    def test_a_gap_at_the_floor_is_told_once(self, room: Room) -> None:
        ids = room.publish(PUBLISHED)[:]
        room.floor = ids[8]
        assert room.read(ids[2]) == [GAP, "9", "10", "11"]
        assert room.read(ids[8]) == ["9", "10", "11"]

    @pytest.mark.parametrize("before", [0, PUBLISHED])
    def test_who_joins_reads_what_came_since_and_nothing_from_before(self, room: Room, before: int) -> None:
        """With the cursor that was stored at the join as the start, and as the floor."""
        old = room.publish(before)[:]
        joined = room.after = room.floor = room.sse.cursor("room")
        room.publish(3)
        since = [str(number) for number in range(before, before + 3)]
        assert room.read(None) == room.read(joined) == since
        for cursor in old[:-1]:
            assert room.read(cursor) == [GAP, *since]

    def test_the_newest_may_be_all_that_is_read(self, room: Room) -> None:
        ids = room.publish(PUBLISHED)[:]
        room.floor = Last(3)
        assert room.read(ids[9]) == ["10", "11"]
        room.after = OLDEST
        assert room.read(None) == ["10", "11"], "of the newest three, one is the mark of before"

    def test_what_is_still_kept_begins_at_the_floor_without_a_gap(self, room: Room) -> None:
        ids = room.publish(PUBLISHED)[:]
        room.floor = ids[8]
        for after in (OLDEST, Last(10)):
            room.after = after
            assert room.read(None) == ["9", "10", "11"]
        room.after = ids[3]
        assert room.read(None) == [GAP, "9", "10", "11"]

    def test_from_now_on_is_a_floor_too(self, room: Room) -> None:
        ids = room.publish(PUBLISHED)[:]
        room.floor = NOW
        assert room.read(ids[5]) == [GAP]
        assert room.read(room.sse.cursor("room")) == []

    def test_what_was_published_lately_may_be_all_that_is_read(self, room: Room) -> None:
        ids = room.publish(PUBLISHED)[:]
        room.floor = Since(600)
        assert room.read(ids[5]) == [str(number) for number in range(6, PUBLISHED)]

    def test_a_floor_that_is_trimmed_withholds_nothing_that_is_left(
        self, new_manager: NewManager, url: str
    ) -> None:
        room = Room(new_manager(url, history=5))
        room.floor = room.publish(2)[1]
        ids = room.publish(60)[:]
        came = room.read(ids[0])
        assert came[0] == GAP
        assert came[-1] == "61"
        assert room.read(ids[-2])[0] == "61"
        room.after = room.floor
        assert room.read(None)[0] == GAP
        assert room.read(None)[-1] == "61"
        room.close()

    @pytest.mark.parametrize("kind", ["cursor", "newest"])
    def test_what_a_process_still_has_of_before_the_floor_is_not_read(
        self, new_manager: NewManager, url: str, kind: str
    ) -> None:
        """A process keeps more of a stream that somebody reads than the log, which is trimmed."""
        room = Room(new_manager(url, history=5))
        first = room.publish()[0]
        with room.client.open("/room", last_event_id=first) as somebody:
            for number in range(1, 65):
                room.publish()
                assert somebody.events(1)[0].data == str(number)
            floor = room.ids[4] if kind == "cursor" else Last(4)
            room.floor = floor
            came = room.read(first)
            assert came[0] == GAP
            assert min(int(data) for data in came[1:]) > 4
        room.close()

    def test_a_floor_of_another_history_is_now(self, room: Room) -> None:
        ids = room.publish(PUBLISHED)[:]
        room.floor = "Z9zZ9.3.abc"
        for cursor in (UNPLACEABLE, ids[0], ids[-1]):
            assert room.read(cursor) == [GAP]

    def test_a_floor_beyond_the_newest_entry_is_now(self, room: Room) -> None:
        """As after a failover that lost the newest entries."""
        ids = room.publish(PUBLISHED)[:]
        epoch, _, nonce = ids[-1].split(".")
        room.floor = f"{epoch}.zzz.{nonce}"
        assert room.read(ids[3]) == [GAP]

    def test_a_floor_of_one_stream_says_nothing_of_another(self, new_manager: NewManager, url: str) -> None:
        room = Room(new_manager(url, history=5))
        room.floor = room.sse.send_event("other", "the first of few")
        room.publish(60)
        room.after = OLDEST
        assert room.read(None, "/both") == []
        room.close()

    def test_a_stream_that_the_floor_does_not_speak_of_is_read_from_now_on(self, room: Room) -> None:
        room.sse.send_event("other", "before")
        ids = room.publish(PUBLISHED)[:]
        room.floor = join_cursors({"room": ids[8], "third": ids[8]})
        room.after = OLDEST
        assert room.read(None, "/both") == ["9", "10", "11"]


class LostFloorPromises:
    """As `FloorPromises`; and a fixture `lose`, which makes the backend lose all of a stream's history."""

    @pytest.mark.parametrize("path", ["/room", "/both"])
    def test_a_history_that_is_replaced_during_a_connection_is_not_read(
        self, room: Room, lose: Callable[[str], object], path: str
    ) -> None:
        """As after a failover to a replica, or from a backup, that has other entries than the client saw."""
        floor = room.publish(PUBLISHED)[5]
        with room.client.open(path):  # for whom the process keeps what both histories had
            room.floor = floor
            stream = room.client.open(path)
            room.sse.send_event("room", "seen")
            while stream.events(1)[0].data != "seen":
                pass
            lose("room")
            for number in range(3):
                room.sse.send_event("room", f"restored {number}")
            assert stream.read_to_end() == []
            stream.reconnect()
            room.sse.send_event("room", "new")
            assert [event.type for event in stream.events(2)] == [GAP, "message"]

    @pytest.mark.parametrize("floor", [None, NOW])
    def test_who_comes_from_now_on_reads_nothing_that_is_lost_but_still_in_the_process(
        self, room: Room, lose: Callable[[str], object], floor: Any
    ) -> None:
        with room.client.open("/room") as somebody:
            secret = room.publish(5)[2]
            assert len(somebody.events(5)) == 5
            lose("room")
            room.floor = floor
            assert room.read(None) == []
            if floor is NOW:
                assert room.read(secret) == [GAP]

    def test_a_history_that_was_replaced_before_is_not_read(
        self, room: Room, lose: Callable[[str], object]
    ) -> None:
        ids = room.publish(PUBLISHED)[:]
        room.floor = ids[5]
        lose("room")
        restored = [room.sse.send_event("room", f"restored {number}") for number in range(9)]
        for cursor in (*ids, *restored, UNPLACEABLE):
            came = room.read(cursor)
            assert came == [GAP], cursor

    def test_a_cursor_that_is_stored_after_the_loss_is_a_floor_as_any(
        self, room: Room, lose: Callable[[str], object]
    ) -> None:
        room.after = room.floor = room.publish(PUBLISHED)[5]
        lose("room")
        room.sse.send_event("room", "since the loss")
        assert room.read(None) == room.read(None) == [GAP]
        room.after = room.floor = room.sse.cursor("room")
        kept = room.sse.send_event("room", "kept")
        assert room.read(None) == room.read(None) == ["kept"]
        assert room.read(kept) == []
