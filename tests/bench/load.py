"""The load: many clients on one core, which spins while it measures, and what they saw."""

from __future__ import annotations

import select
import socket
import time
from dataclasses import dataclass
from typing import Final, Self

_FIELD: Final = b"data: "


@dataclass(frozen=True)
class Seen:
    """Deliveries in all, the seconds from the first to the last, and latencies of a sample."""

    deliveries: int
    seconds: float
    latencies: list[float]

    def percentile(self, share: float) -> float:
        """In milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


class Crowd:
    """Clients of one server, each with a request of its own; made when each has read `until`."""

    def __init__(self, port: int, paths: list[str], hosts: int = 1, until: bytes = b"\n\n") -> None:
        self._poll = select.epoll()
        self._until = until
        self._clients: dict[int, socket.socket] = {}
        start = time.monotonic()
        waiting = set()
        for place, path in enumerate(paths):
            client = socket.create_connection((f"127.0.0.{1 + place % hosts}", port))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
            client.setblocking(False)
            self._clients[client.fileno()] = client
            self._poll.register(client, select.EPOLLIN)
            waiting.add(client.fileno())
            if place % 64 == 63:
                self._heads(waiting, 0)
        deadline = time.monotonic() + 60
        while waiting:
            assert time.monotonic() < deadline, f"{len(waiting)} clients got no head"
            self._heads(waiting, 1)
        self.connect_seconds = time.monotonic() - start

    def _heads(self, waiting: set[int], timeout: float) -> None:
        for fd, _ in self._poll.poll(timeout):
            if self._until in self._clients[fd].recv(65536):
                waiting.discard(fd)

    def watch(self, expected: int, limit: float, sample: int = 20, spin: bool = True) -> Seen:
        """Spin, or sleep, until so many deliveries have come, or `limit` seconds are over."""
        sampled = set(list(self._clients)[:: max(1, len(self._clients) // sample)])
        latencies: list[float] = []
        buffer = bytearray(1 << 20)
        view = memoryview(buffer)
        rests: dict[int, bytes] = {}
        seen, first, last, end = 0, 0.0, 0.0, time.monotonic() + limit
        while seen < expected and time.monotonic() < end:
            for fd, _ in self._poll.poll(0 if spin else 0.1):
                size = self._clients[fd].recv_into(view)
                assert size, "a client was closed"
                now = time.monotonic()
                first, last = first or now, now
                data = rests.get(fd, b"") + view[:size]
                seen += data.count(_FIELD)
                rests[fd] = data[-len(_FIELD) + 1 :]  # a field may be cut anywhere
                if fd in sampled and (at := data.rfind(b"data: ")) >= 0 and len(data) >= at + 26:
                    latencies.append(now - float(data[at + 6 : at + 26]))
        return Seen(seen, last - first, latencies)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._poll.close()
        for client in self._clients.values():
            client.close()
