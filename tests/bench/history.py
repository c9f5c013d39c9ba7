"""`history` and `Last` on a long stream against a short one: `python -m tests.bench.history [--entries N]`.

Prints the medians of a call in milliseconds, and their ratio. Starts the servers itself.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from streamy_core import Last, StreamManager

from ..backends.redis.conftest import program
from ..backends.redis.servers import Server as RedisServer
from ..backends.sql.conftest import server_in

WANTED: Final = 10
CALLS: Final = 200
ROUNDS: Final = 3
BATCH: Final = 1_000


@contextmanager
def url_of(backend: str, folder: Path) -> Iterator[str]:
    """The URL of one that is there meanwhile."""
    if backend in ("memory", "sqlite"):
        yield {"memory": "memory://", "sqlite": f"sqlite:///{folder}/streams.db"}[backend]
        return
    server = (
        RedisServer(program(backend), folder).start()
        if backend == "valkey"
        else server_in(backend, folder).start()
    )
    try:
        yield server.url
    finally:
        server.stop()


def fill(sse: StreamManager, stream: str, entries: int) -> None:
    for first in range(0, entries, BATCH):
        sse.send_events(stream, [f"event {n}" for n in range(first, min(entries, first + BATCH))])


def begin(sse: StreamManager, stream: str) -> None:
    with sse.subscribe(stream, Last(WANTED)) as entries:
        for _ in range(WANTED):
            assert entries.next(10)


def milliseconds(call: Callable[[], object]) -> float:
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1_000


def compare(sse: StreamManager, backend: str, entries: int) -> None:
    verbs: dict[str, Callable[[str], object]] = {
        "history": lambda stream: sse.history(stream, WANTED),
        "Last": partial(begin, sse),
    }
    for verb, call in verbs.items():
        short, long = [], []
        for _ in range(ROUNDS):  # in turns
            short.append(milliseconds(partial(call, "short")))
            long.append(milliseconds(partial(call, "long")))
        ratio = statistics.median(long) / statistics.median(short)
        shown = f"{statistics.median(short):.3f} -> {statistics.median(long):.3f} ms"
        print(f"{backend:10} {verb:8} {WANTED} -> {entries:,} entries: {shown}, {ratio:.2f} x", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--only", choices=["memory", "sqlite", "postgresql", "mariadb", "valkey"])
    args = parser.parse_args()
    backends = [args.only] if args.only else ["memory", "sqlite", "postgresql", "mariadb", "valkey"]
    for backend in backends:
        with tempfile.TemporaryDirectory() as folder, url_of(backend, Path(folder)) as url:
            kept = f"history={2 * args.entries}"
            if backend == "memory":
                kept += "&history_bytes=1000000000"
            with StreamManager(broker=f"{url}?{kept}") as sse:
                fill(sse, "short", WANTED)
                fill(sse, "long", args.entries)
                compare(sse, backend, args.entries)


if __name__ == "__main__":
    main()
