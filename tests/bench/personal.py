"""10,000 clients, a stream each, 1,000 events a second: `python -m tests.bench.personal [--quick]`.

Against a gevent server with a queue for each client, on the same core in the same run, in turns. The second
table is of Redis, which a process of its own publishes to.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..backends.redis.servers import HOW_TO_GET, binary
from ..backends.redis.servers import Server as RedisServer
from .fanout import report
from .load import Crowd
from .processes import Server, StreamyServer, prepare, streamy

CLIENTS: Final = 10_000
RATE: Final = 1_000
PATHS: Final = [f"/stream?id=s{n}" for n in range(CLIENTS)]


@contextmanager
def with_queues() -> Iterator[Server]:
    """The server with gevent."""
    with tempfile.TemporaryDirectory() as folder:
        server = StreamyServer(
            f"{__package__}.gevent_app:app",
            Path(folder) / "log",
            server="gevent",
            options=("--backlog", "4096", "--worker-connections", str(2 * CLIENTS)),
            host="0.0.0.0",
        )
        with server.start():
            yield server


def cost(server: Server, count: int, publish: Callable[[int], object]) -> tuple[float, float]:
    """Microseconds of the processor for each event, and the latency's p99 in milliseconds."""
    with Crowd(server.port, PATHS, hosts=4) as crowd:
        publish(RATE)
        crowd.watch(RATE, limit=60, sample=CLIENTS)
        before = server.cpu()
        publish(count)
        seen = crowd.watch(count, limit=60, sample=CLIENTS)
        assert seen.deliveries == count, f"{seen.deliveries} of {count} came in time"
        return (server.cpu() - before) / count * 1e6, seen.percentile(0.99)


def from_within(server: Server) -> Callable[[int], object]:
    return lambda count: server.ask(f"/publish-in-turns?streams={CLIENTS}&n={count}&rate={RATE}")


def from_outside(url: str) -> Callable[[int], object]:
    module = (sys.executable, "-m", f"{__package__}.publisher", url, "streamy")
    return lambda count: subprocess.Popen([*module, str(count), str(RATE), str(CLIENTS)])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    rounds, count = (1, 5_000) if parser.parse_args().quick else (3, 10_000)
    prepare()
    ours, theirs = [], []
    for _ in range(rounds):
        with with_queues() as server:
            theirs.append(cost(server, count, from_within(server)))
        with streamy() as server:
            ours.append(cost(server, count, from_within(server)))
    mine, other = (statistics.median(us for us, _ in found) for found in (ours, theirs))
    figure = f"{mine:.0f} / {other:.0f} us = {mine / other:.2f}"
    report("personal streams, CPU per event: streamy / gevent", figure, "<= 1")
    late, later = (statistics.median(ms for _, ms in found) for found in (ours, theirs))
    report("  p99", f"{late:.1f} / {later:.1f} ms")
    redis = binary("redis") or sys.exit(f"redis is missing: {HOW_TO_GET['redis']}")
    with tempfile.TemporaryDirectory() as folder:
        store = RedisServer(redis, Path(folder)).start()
        try:
            with streamy(BROKER_URL=store.url) as server:
                us, ms = cost(server, count, from_outside(store.url))
        finally:
            store.stop()
    report("  by Redis, published by another process", f"{us:.0f} us, p99 {ms:.1f} ms")


if __name__ == "__main__":
    main()
