"""100 runs of 50 tokens a second on one worker, with 300 clients: `python -m tests.bench.runs`.

CPU is the worker's, all of it: producing, publishing, and delivering. `bare` appends each token by a thread
that does nothing else. Needs Linux with two cores, and nothing else running on them. BROKER_URL: another
backend.
"""

from __future__ import annotations

import argparse
import os
import selectors
import socket
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from .processes import StreamyServer, prepare

RUNS: Final = 100
RATE: Final = 50.0
CLIENTS: Final = 300


def measure(server: StreamyServer, way: str, seconds: float) -> tuple[float, list[float], float]:
    """Microseconds of CPU for a token, latencies in seconds, and for which share of its time a producer was
    held."""
    count = int(RATE * seconds)
    name = f"{way}-{time.monotonic_ns()}-"
    selector = connect(server.port, [f"/stream/{name}{number % RUNS}" for number in range(CLIENTS)])
    before = server.cpu()
    server.ask(f"/start?runs={RUNS}&count={count}&rate={RATE}&way={way}&name={name}")
    latencies = read_all(selector, CLIENTS)
    spent = server.cpu() - before
    held = float(server.ask("/held"))
    assert len(latencies) == CLIENTS * count, f"{len(latencies)} tokens have come of {CLIENTS * count}"
    return spent / (RUNS * count) * 1e6, latencies, held / (RUNS * seconds)


def connect(port: int, paths: list[str]) -> selectors.BaseSelector:
    """Clients of these, each with what it has read of a line."""
    selector = selectors.DefaultSelector()
    for path in paths:
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        client.recv(1)
        selector.register(client, selectors.EVENT_READ, bytearray())
    return selector


def read_all(selector: selectors.BaseSelector, left: int) -> list[float]:
    """Read each stream to its end. How late each token was."""
    latencies: list[float] = []
    while left:
        for key, _ in selector.select(1):
            client, rest = key.fileobj, key.data
            assert isinstance(client, socket.socket)
            data = client.recv(65_536)
            now = time.monotonic()
            rest += data
            *lines, tail = bytes(rest).split(b"\n")
            rest[:] = tail
            for line in lines:
                if line.startswith(b"data: ") and line[6:7].isdigit():
                    latencies += [now - float(token) for token in line[6:].split()]
            if not data or b"event: streamy.end" in lines:
                selector.unregister(client)
                client.close()
                left -= 1
    return latencies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    seconds = parser.parse_args().seconds
    prepare()
    with TemporaryDirectory() as folder:
        server = StreamyServer(
            f"{__package__}.runs_app:app",
            Path(folder) / "log",
            environment={"BROKER_URL": os.environ.get("BROKER_URL", "memory://")},
        )
        with server.start():
            measure(server, "bare", 1)
            bare = 0.0
            for way in ("bare", "each", "0.05"):
                cost, latencies, held = measure(server, way, seconds)
                bare = bare or cost
                ordered = sorted(latencies)
                p50, p99 = (ordered[int(len(ordered) * share)] * 1_000 for share in (0.5, 0.99))
                print(
                    f"{way:<6} {cost:7.1f} us CPU a token ({cost / bare:4.2f} of bare), p50 {p50:6.1f} ms, "
                    f"p99 {p99:6.1f} ms, producers held {held:.3%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
