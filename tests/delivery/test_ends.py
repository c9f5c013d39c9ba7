"""When clients of an ended stream are told to come back: not all at once."""

from __future__ import annotations

import re
from statistics import quantiles

from streamy_backends.memory import MemoryBroker
from streamy_core import OLDEST, StreamManager
from streamy_core.engine.frames import retry_after_end

CLIENTS = 200


def bytes_of(sse: StreamManager, *names: str) -> bytes:
    return b"".join(sse.get_stream(names, after=OLDEST).response)


def told(data: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"^retry: (\d+)$", data, re.MULTILINE)]


def test_clients_of_one_stream_come_back_for_their_204_over_more_than_half_a_minute() -> None:
    with StreamManager(broker=MemoryBroker()) as sse:
        sse.send_event("news", "a")
        sse.end_stream("news")
        last = [told(bytes_of(sse, "news"))[-1] for _ in range(CLIENTS)]
    assert all(5_000 <= time <= 60_000 for time in last)
    first, *_, latest = quantiles(last, n=20)
    assert latest - first > 30_000


def test_the_end_itself_tells_the_time_for_readers_that_heed_no_other_frame() -> None:
    with StreamManager(broker=MemoryBroker()) as sse:
        sse.end_stream("news")
        assert re.search(rb"\nretry: \d+\nevent: streamy.end\n", bytes_of(sse, "news"))


def test_on_a_joint_connection_only_the_last_end_tells_it() -> None:
    with StreamManager(broker=MemoryBroker()) as sse:
        sse.end_stream("news")
        sse.end_stream("chat")
        data = bytes_of(sse, "news", "chat")
    assert data.count(b"event: streamy.end\n") == 2
    assert len(told(data)) == 3, "that of the opening, of the last end, and of the close"


def test_the_times_are_drawn_from_five_to_sixty_seconds() -> None:
    drawn = [retry_after_end() for _ in range(2_000)]
    assert 5_000 <= min(drawn) < 7_000
    assert 58_000 < max(drawn) <= 60_000
