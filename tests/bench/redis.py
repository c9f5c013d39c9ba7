"""The Redis broker against bare redis-py: `python -m tests.bench.redis [--quick] [--kind redis|valkey]`.

Prints a table; each ratio is of figures from this run, taken in turns. Starts the server itself.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from streamy_core import StreamManager

from ..backends.redis.servers import HOW_TO_GET, Server, binary
from .fanout import report
from .load import Crowd
from .processes import allow_many_files, streamy

TEXT = "x" * 100


def per_second(action: Callable[[], object], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        action()
    return count / (time.perf_counter() - start)


def publishing(server: Server, rounds: int) -> None:
    """One caller: `send_event` and `send_events` against a loop of XADD."""
    bare = redis.Redis(port=server.port)
    batch = [TEXT] * 100
    singles, batches, base = [], [], []
    with StreamManager(broker=server.url) as sse:
        for _ in range(rounds):
            before = per_second(lambda: bare.xadd("bare", {"data": TEXT}), 300)
            single = per_second(lambda: sse.send_event("single", TEXT), 300)
            many = per_second(lambda: sse.send_events("batch", batch), 5) * 100
            after = per_second(lambda: bare.xadd("bare", {"data": TEXT}), 300)
            base.append((before + after) / 2)
            singles.append(single / base[-1])
            batches.append(many / base[-1])
    bare.close()
    report("XADD by redis-py, one caller", f"{statistics.median(base):,.0f}/s")
    report("send_event / XADD", f"{statistics.median(singles):.2f}", ">= 0.7")
    report("send_events of 100 / XADD, per event", f"{statistics.median(batches):.1f}", ">= 10")


@contextmanager
def publisher(server: Server, kind: str, count: int, rate: float) -> Iterator[None]:
    command = (sys.executable, "-m", "tests.bench.publisher", server.url, kind, str(count), str(rate))
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.wait(60)


def latency(server: Server, rounds: int, count: int) -> None:
    """From publishing to one client: through a gunicorn worker, against PUBLISH to get_message."""
    bare, ours = [], []
    for _ in range(rounds):
        bare += bare_latency(server, count)
        ours += our_latency(server, count)
    base, figure = (statistics.median(each) * 1e6 for each in (bare, ours))
    ratio = f"{figure:.0f} / {base:.0f} us = {figure / base:.2f}"
    report("publish to client / PUBLISH to get_message, p50", ratio, "< 2")
    p99 = [sorted(each)[len(each) * 99 // 100] * 1e6 for each in (ours, bare)]
    report("  p99", f"{p99[0]:.0f} / {p99[1]:.0f} us")


def bare_latency(server: Server, count: int) -> list[float]:
    with redis.Redis(port=server.port) as client, client.pubsub() as ear:
        ear.subscribe("bench")
        ear.get_message(timeout=5)
        found = []
        with publisher(server, "bare", count, 200):
            while len(found) < count:
                message = ear.get_message(timeout=10)
                now = time.monotonic()
                assert message is not None, "a message was lost"
                if message["type"] == "message":
                    found.append(now - float(message["data"][:20]))
    return found


def our_latency(server: Server, count: int) -> list[float]:
    with (
        streamy(BROKER_URL=server.url) as worker,
        Crowd(worker.port, ["/stream?id=s0"]) as crowd,
        publisher(server, "streamy", count, 200),
    ):
        return crowd.watch(count, limit=60, spin=False).latencies


def commands(server: Server, clients: int, events: int) -> float:
    """Commands that the server is sent for one event, to so many clients of one worker."""
    with (
        streamy(BROKER_URL=server.url) as worker,
        Crowd(worker.port, ["/stream?id=s0"] * clients, hosts=4) as crowd,
    ):
        before = calls(server)
        worker.ask(f"/publish?streams=1&n={events}&rate=50")
        seen = crowd.watch(clients * events, limit=60)
        assert seen.deliveries == clients * events
        return (calls(server) - before) / events


def calls(server: Server) -> int:
    """What clients have sent; what scripts call is counted by other names."""
    stats = server.client.info("commandstats")
    names = ("evalsha", "subscribe", "unsubscribe", "script", "script|load", "ping")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in names)


def connections(server: Server, clients: int) -> int:
    with streamy(BROKER_URL=server.url) as worker, Crowd(worker.port, ["/stream?id=s0"] * clients, hosts=4):
        return len(server.client.client_list()) - 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--kind", choices=["redis", "valkey"], default="redis")
    args = parser.parse_args()
    program = binary(args.kind)
    if program is None:
        sys.exit(f"{args.kind}-server is missing: {HOW_TO_GET}")
    allow_many_files()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(program, Path(folder)).start()
        try:
            publishing(server, 8 if args.quick else 40)
            latency(server, 1 if args.quick else 5, 200)
            few, many = (commands(server, clients, 100) for clients in (1, 1_000))
            report("commands for an event, 1,000 clients / 1", f"{many:.2f} / {few:.2f}", "the same")
            report("connections, 10,000 clients", str(connections(server, 10_000)), "<= 10")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
