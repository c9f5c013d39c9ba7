"""A crowd of browsers in one thread: each reads its stream, and reconnects by itself."""

from __future__ import annotations

import errno
import heapq
import re
import select
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Self

from .event_stream import ChunkedBody, Frame, WholeBody, parse_frame, parse_rest

_BLOCK: Final = 262_144
_RETRY: Final = 0.5
"""Seconds before reconnecting, until the server says otherwise. Browsers take more."""

Hear = Callable[["Source", Frame, float], None]
"""Told of every frame with data: who got it, and when."""


class Source:
    """An EventSource: what it remembers from one connection to the next.

    connections: how many responses it has got the head of.
    open:        whether it has the first frame of its present connection.
    goodbyes:    for each connection that got a head and is over: the seconds after which to come
                 back, or None if the response was torn off.
    next_number: for those who count.
    """

    __slots__ = (
        "chunks",
        "connections",
        "goodbyes",
        "head",
        "last_id",
        "next_number",
        "open",
        "pending",
        "retry",
        "sock",
        "started",
    )

    def __init__(self) -> None:
        self.last_id = ""
        self.retry = _RETRY
        self.connections = 0
        self.goodbyes: list[float | None] = []
        self.next_number = 1
        self.sock: socket.socket | None = None
        self._forget()

    def _forget(self) -> None:
        self.open = False
        self.started = False
        self.head = b""
        self.pending = b""
        self.chunks: ChunkedBody | WholeBody | None = None

    def connect(self, address: tuple[str, int]) -> socket.socket | None:
        self.sock = socket.socket()
        self.sock.setblocking(False)
        if self.sock.connect_ex(address) in (0, errno.EINPROGRESS):
            return self.sock
        self.close()
        return None

    def ask(self, path: str) -> bool:
        """Send the request, now that it is connected; whether it is."""
        assert self.sock is not None
        if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return False
        lines = [f"GET {path} HTTP/1.1", "Host: crowd", "Accept: text/event-stream"]
        if self.last_id:
            lines.append(f"Last-Event-ID: {self.last_id}")
        self.started = True
        try:
            self.sock.sendall("\r\n".join([*lines, "", ""]).encode())
        except OSError:
            return False
        return True

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now."""
        if self.chunks is None:
            self.head += data
            head, blank, data = self.head.partition(b"\r\n\r\n")
            if not blank:
                return []
            if not head.startswith(b"HTTP/1.1 200 "):
                raise GaveUp(head.decode("latin-1"))
            self.connections += 1
            self.chunks = _body_behind(head.lower())
        # What is left of a frame when the connection ends is no frame: see `close`.
        *frames, self.pending = (self.pending + self.chunks.feed(data)).split(b"\n\n")
        found = [parse_frame(frame) for frame in frames]
        for frame in found:
            self.open = True
            if frame.id is not None:
                self.last_id = frame.id
        retries = [frame.retry for frame in (*found, parse_rest(self.pending)) if frame.retry is not None]
        if retries:
            self.retry = retries[-1] / 1000
        return found

    @property
    def over(self) -> bool:
        """Whether the response has ended. A proxy keeps the connection open after that."""
        return self.chunks is not None and self.chunks.over

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None
        if self.chunks is not None:
            self.goodbyes.append(self.retry if self.chunks.complete else None)
        self._forget()


def _body_behind(head: bytes) -> ChunkedBody | WholeBody:
    if b"transfer-encoding: chunked" in head:
        return ChunkedBody()
    length = re.search(rb"\r\ncontent-length: *(\d+)", head)
    return WholeBody(int(length[1]) if length else None)


class Record:
    """Keeps what every source of a crowd gets. It is the crowd's `hear`."""

    def __init__(self) -> None:
        self.frames: defaultdict[Source, list[Frame]] = defaultdict(list)

    def __call__(self, source: Source, frame: Frame, at: float) -> None:
        self.frames[source].append(frame)

    def data(self, source: Source) -> list[str | None]:
        return [frame.data for frame in self.frames[source]]


class GaveUp(Exception):
    """A browser that gets this answer never asks again."""


class Crowd:
    """So many sources. They live while `run_until` runs.

    paths:   one for all, or several, which are dealt out in turn.
    ends:    whether an answer that makes a browser give up is expected. Else it fails the test.
    gave_up: when each that has given up did so.
    """

    def __init__(
        self,
        address: tuple[str, int],
        paths: str | Sequence[str],
        count: int,
        hear: Hear,
        *,
        ends: bool = False,
    ) -> None:
        self.gave_up: dict[Source, float] = {}
        self._ends = ends
        self._address = address
        self._paths = [paths] if isinstance(paths, str) else paths
        self._hear = hear
        self._poll = select.epoll()
        self._by_fd: dict[int, Source] = {}
        self.sources = [Source() for _ in range(count)]
        now = time.monotonic()
        # A thousand a second: a crowd, and no flood.
        self._due = [(now + place / 1000, place) for place in range(count)]
        self._places = {source: place for place, source in enumerate(self.sources)}

    def run_until(self, condition: Callable[[], object], what: str, within: float = 30.0) -> None:
        """Live until `condition()` is true; fail if that takes too long, saying `what` hasn't come."""
        end = time.monotonic() + within
        while not condition():
            self.turn()
            assert time.monotonic() < end, f"{what}: not within {within:.0f} s"

    def run_until_open(self, within: float = 30.0) -> None:
        self.run_until(lambda: all(source.open for source in self.sources), "everybody connected", within)

    def cut(self, source: Source) -> None:
        """Have its connection break off, wherever it is; it comes back."""
        if source.sock is not None:
            self._lose(source)

    def turn(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            self._connect(self.sources[heapq.heappop(self._due)[1]])
        timeout = min(0.02, max(0.0, self._due[0][0] - now)) if self._due else 0.02
        for fd, _ in self._poll.poll(timeout):
            source = self._by_fd[fd]
            if source.started:
                self._read(source)
            elif source.ask(self._paths[self._places[source] % len(self._paths)]):
                self._poll.modify(fd, select.EPOLLIN)
            else:
                self._lose(source)

    def _connect(self, source: Source) -> None:
        sock = source.connect(self._address)
        if sock is None:
            self._come_back(source)
        else:
            self._by_fd[sock.fileno()] = source
            self._poll.register(sock, select.EPOLLIN | select.EPOLLOUT)

    def _read(self, source: Source) -> None:
        assert source.sock is not None
        try:
            data = source.sock.recv(_BLOCK)
        except OSError:
            data = b""
        if not data:
            self._lose(source)
            return
        now = time.monotonic()
        try:
            frames = source.feed(data)
        except GaveUp:
            if not self._ends:
                raise
            self.gave_up[source] = now
            self._close(source)
            return
        for frame in frames:
            if frame.is_event:
                self._hear(source, frame, now)
        if source.over:
            self._lose(source)

    def _lose(self, source: Source) -> None:
        self._close(source)
        self._come_back(source)

    def _close(self, source: Source) -> None:
        assert source.sock is not None
        del self._by_fd[source.sock.fileno()]
        source.close()

    def _come_back(self, source: Source) -> None:
        heapq.heappush(self._due, (time.monotonic() + source.retry, self._places[source]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._poll.close()
        for source in self.sources:
            with suppress(OSError):
                source.close()
