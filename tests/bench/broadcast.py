"""`broadcast` to 1,000 streams against as many calls of `send_event`: `python -m tests.bench.broadcast`.

Prints a table; each ratio is of figures from this run, taken in turns. Starts the servers itself.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from streamy_core import StreamManager

from ..backends.redis.servers import HOW_TO_GET as REDIS_FROM
from ..backends.redis.servers import Server as RedisServer
from ..backends.redis.servers import binary
from ..backends.sql.servers import HOW_TO_GET, Mariadb, Postgresql, programs
from .fanout import report

TEXT: Final = "x" * 100
NAMES: Final = [f"user:{n}" for n in range(1_000)]


def took(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def send_to_each(sse: StreamManager) -> None:
    for name in NAMES:
        sse.send_event(name, TEXT)


def measure(name: str, url: str, rounds: int, target: str) -> None:
    ratios, ours = [], []
    with StreamManager(broker=url) as sse:
        send_to_each(sse)  # the streams are there
        for _ in range(rounds):
            before = took(lambda: send_to_each(sse))
            ours.append(took(lambda: sse.broadcast(NAMES, TEXT)))
            after = took(lambda: send_to_each(sse))
            ratios.append((before + after) / 2 / ours[-1])
    figure = f"{statistics.median(ours) * 1_000:.1f} ms, {statistics.median(ratios):.1f} x as fast"
    report(f"{name}: broadcast / 1,000 x send_event", figure, target)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    rounds = 5 if parser.parse_args().quick else 20
    redis = binary("redis") or sys.exit(f"redis is missing: {REDIS_FROM['redis']}")
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        measure("memory", "memory://", rounds * 10, ">= 3")
        measure("SQLite", f"sqlite:///{folder}/streams.db", rounds, ">= 20")
        server = RedisServer(redis, folder).start()
        try:
            measure("Redis", server.url, rounds, ">= 15")
        finally:
            server.stop()
        for kind, make in (("postgresql", Postgresql), ("mariadb", Mariadb)):
            found = programs(kind) or sys.exit(f"{kind} is missing: {HOW_TO_GET[kind]}")
            database = make(*found, folder / kind).start()
            try:
                measure(kind, database.url, rounds, ">= 20")
            finally:
                database.stop()


if __name__ == "__main__":
    main()
