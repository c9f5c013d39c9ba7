"""What a client that never reads costs the others: nothing; and the server: little, for a while."""

from __future__ import annotations

import socket
import time
from contextlib import closing, suppress
from typing import Final

import pytest

from streamy_core.testing.reading import DEADLINE

from ..support.crowd import Crowd, Hear, Source
from ..support.event_stream import Frame
from .conftest import Gunicorn, Serving

pytestmark = pytest.mark.slow

CLIENTS: Final = 1_000
SIZE: Final = 2_048
RATE: Final = 10.0
"""Events a second, to each client. A fan-out is over before the next begins, or queues are measured."""
ROUND: Final = 25
ROUNDS: Final = 10
"""At most. A busy machine needs some for a best of each kind; what is really slow is so in all of them."""

FEW: Final = 10
"""Clients, where the others are only there to see that all is well."""
FILLING: Final = 60
"""Events that are, as a rule, more than the system holds for one that doesn't read: see `NeverReader`."""

NOISE: Final = 0.005
"""Seconds that a quiet server's p99 may be beyond twice itself.

A slow client costs a look at it once a second, well below a millisecond. But where the fan-out takes
some 20 ms, one time slice that a shared core gives to somebody else is as much as some ms.
"""

TIMEOUT: Final = 1.0
"""Of the policy, in seconds."""
LATE: Final = 2.0
"""Seconds: the policy is asked once a second, and the machine may be busy for another."""

BIG: Final = 64 * 1024
FULL: Final = 100
"""Big events that are more than the log (4 MiB) and the window (1 MiB) hold."""
FURTHER: Final = 200
GROWTH: Final = 5 * 2**20
"""Bytes by which a worker may grow, while 12.5 MiB are published that one client doesn't read.

The window and the log are full before. What may come is a slice of bytes for the client (256 KiB), and what
the allocator keeps of events on their way, in the arena of each of some eight threads.
"""


class NeverReader:
    """Asks, and reads not a single byte.

    Segments as on an Ethernet, and not loopback's of 64 KiB: of those the system would hold 3 MB.
    """

    def __init__(self, gunicorn: Gunicorn, stream: str) -> None:
        self.data: list[str] = []
        self._socket = socket.socket()
        self._socket.settimeout(DEADLINE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1_460)
        self._socket.connect(gunicorn.address)
        self._socket.sendall(f"GET {gunicorn.path(stream)} HTTP/1.1\r\nHost: slow\r\n\r\n".encode())

    def reads_at_last(self) -> Source:
        """Read all that has arrived, up to the end or a reset."""
        source = Source()
        with suppress(ConnectionResetError):
            while data := self._socket.recv(65_536):
                self.data += [frame.data for frame in source.feed(data) if frame.is_event]
        return source

    def reads_at_last_until(self, name: str) -> list[Frame]:
        """All that has data, up to the one behind the first with this name."""
        source, frames = Source(), list[Frame]()
        while name not in [frame.name for frame in frames[:-1]]:
            data = self._socket.recv(65_536)
            assert data, f"closed without a {name}"
            frames += [frame for frame in source.feed(data) if frame.is_event]
        return frames

    def close(self) -> None:
        self._socket.close()


class Latencies:
    """How long each event took to each source."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def heard(self, source: Source, frame: Frame, at: float) -> None:
        assert frame.name == "message"
        assert frame.data is not None
        self.seconds.append(at - float(frame.data.partition(" ")[0]))

    def p99(self) -> float:
        return sorted(self.seconds)[len(self.seconds) * 99 // 100]


class Room:
    """A crowd at one stream, which can be joined by one that never reads."""

    def __init__(self, gunicorn: Gunicorn, stream: str, crowd: Crowd, heard: Latencies) -> None:
        self._gunicorn = gunicorn
        self._stream = stream
        self._crowd = crowd
        self._heard = heard
        crowd.run_until_open()

    def publish(self, count: int, *, size: int = SIZE, rate: float = RATE) -> float:
        """Publish, until all have heard all. Returns the p99 of what it took, in seconds."""
        self._heard.seconds.clear()
        self._gunicorn.publish(self._stream, count=count, size=size, rate=rate)
        everything = len(self._crowd.sources) * count
        self._crowd.run_until(lambda: len(self._heard.seconds) >= everything, "all events at all the others")
        return self._heard.p99()

    def p99_after_a_burst(self) -> float:
        """Of a round, right after what makes one that never reads behind: the same for both kinds."""
        self.burst()
        return self.publish(ROUND)

    def burst(self) -> None:
        self.publish(FILLING, rate=50)

    def joined(self) -> NeverReader:
        """By one that is behind when this returns."""
        end = time.monotonic() + 3 * DEADLINE
        slow = NeverReader(self._gunicorn, self._stream)
        self.run_until_there(1)
        while not self._gunicorn.is_behind():
            assert time.monotonic() < end, "the policy was never asked about a client that doesn't read"
            self.burst()
        return slow

    def run_until_behind(self) -> None:
        self._crowd.run_until(lambda: self._gunicorn.is_behind(), "the policy asked about the slow client")

    def run_until_there(self, further: int) -> None:
        """Until so many clients are served, beside the crowd."""
        everybody = len(self._crowd.sources) + further
        self._crowd.run_until(lambda: self._gunicorn.stats().clients == everybody, f"{everybody} clients")


def kept_in(data: list[str], heard: Latencies) -> Hear:
    """Keeps what every source hears."""

    def keep(source: Source, frame: Frame, at: float) -> None:
        heard.heard(source, frame, at)
        data.append(str(frame.data))

    return keep


@pytest.mark.timeout(300)  # as many rounds as may be
def test_a_client_that_never_reads_makes_nobody_else_wait(serving: Serving, stream: str) -> None:
    gunicorn, heard = serving("detached", CLOSES_AFTER=600), Latencies()
    with Crowd(gunicorn.address, gunicorn.path(stream), CLIENTS, heard.heard) as crowd:
        room = Room(gunicorn, stream, crowd, heard)
        room.publish(ROUND)
        without: list[float] = []
        beside: list[float] = []

        def is_fast() -> bool:
            return min(beside) < 2 * min(without) + NOISE

        while len(beside) < ROUNDS and not (beside and is_fast()):
            without.append(room.p99_after_a_burst())
            with closing(room.joined()):
                beside.append(room.p99_after_a_burst())
                room.run_until_there(1)
            room.run_until_there(0)
    assert is_fast(), f"p99 without: {without}, beside a slow one: {beside}"


def test_a_client_that_never_reads_takes_up_no_memory_for_what_it_misses(
    serving: Serving, stream: str
) -> None:
    gunicorn, heard = serving("detached", CLOSES_AFTER=600), Latencies()
    with Crowd(gunicorn.address, gunicorn.path(stream), FEW, heard.heard) as crowd:
        room = Room(gunicorn, stream, crowd, heard)
        with closing(room.joined()):
            room.publish(FULL, size=BIG, rate=50)
            room.run_until_behind()
            before = gunicorn.stats().resident
            room.publish(FURTHER, size=BIG, rate=50)
            room.run_until_there(1)
            grown = gunicorn.stats().resident - before
    print(f"grown by {grown / 2**20:.1f} MiB")
    assert grown < GROWTH


def test_a_client_that_never_reads_is_closed_when_the_policy_says_so(serving: Serving, stream: str) -> None:
    gunicorn, heard = serving("detached", CLOSES_AFTER=TIMEOUT), Latencies()
    with Crowd(gunicorn.address, gunicorn.path(stream), FEW, heard.heard) as crowd:
        room = Room(gunicorn, stream, crowd, heard)
        with closing(room.joined()):
            since = time.monotonic()
            room.run_until_there(0)
            assert time.monotonic() - since < TIMEOUT + LATE


def test_a_client_that_is_closed_for_not_reading_comes_back_and_has_missed_nothing(
    serving: Serving, stream: str
) -> None:
    gunicorn, heard = serving("detached", CLOSES_AFTER=TIMEOUT), Latencies()
    published: list[str] = []
    with Crowd(gunicorn.address, gunicorn.path(stream), 1, kept_in(published, heard)) as crowd:
        room = Room(gunicorn, stream, crowd, heard)
        with closing(room.joined()) as slow:
            room.run_until_there(0)
            source = slow.reads_at_last()
        room.publish(ROUND, rate=100)
    got = slow.data
    assert 0 < len(got) < len(published) - ROUND
    with Crowd(gunicorn.address, gunicorn.path(stream), 1, kept_in(got, heard)) as back:
        back.sources[0].last_id = source.last_id
        back.run_until(lambda: len(got) >= len(published), "all that it had missed")
    assert got == published


def test_those_who_read_are_not_closed_with_one_that_does_not(serving: Serving, stream: str) -> None:
    gunicorn, heard = serving("detached", CLOSES_AFTER=TIMEOUT), Latencies()
    with Crowd(gunicorn.address, gunicorn.path(stream), FEW, heard.heard) as crowd:
        room = Room(gunicorn, stream, crowd, heard)
        with closing(room.joined()):
            room.run_until_there(0)
        room.publish(ROUND, rate=100)
        assert [source.connections for source in crowd.sources] == [1] * FEW


def test_with_a_thread_for_each_client_a_dashboard_that_does_not_read_skips_to_the_newest(
    serving: Serving, stream: str
) -> None:
    gunicorn, heard = serving("wsgi", SKIPS_BEYOND=10), Latencies()
    published: list[str] = []
    with Crowd(gunicorn.address, gunicorn.path(stream), 1, kept_in(published, heard)) as crowd:
        room = Room(gunicorn, stream, crowd, heard)
        with closing(NeverReader(gunicorn, stream)) as slow:
            room.run_until_there(1)
            room.publish(FURTHER, size=BIG, rate=50)  # four seconds, of which it blocks its thread for most
            frames = slow.reads_at_last_until("streamy.gap")
    place = [frame.name for frame in frames].index("streamy.gap")
    assert [frame.data for frame in frames[:place]] == published[:place]
    assert [frame.data for frame in frames[place + 1 :]] == published[-1:]
    assert place < FURTHER / 2
