"""How long `/ready` and `/live` take with many clients: `python -m tests.bench.health [CLIENTS]`.

All read one stream, to which an event a second comes.
"""

from __future__ import annotations

import sys
import time
from typing import Final

from .fanout import report
from .load import Crowd
from .processes import Server, prepare, streamy

QUESTIONS: Final = 200


def times(server: Server, path: str) -> list[float]:
    """Milliseconds of each answer, in order of size; each by a connection of its own."""
    found = []
    for _ in range(QUESTIONS):
        began = time.monotonic()
        reply = server.request("GET", path)
        found.append((time.monotonic() - began) * 1_000)
        assert reply.status == 200, reply.body
    return sorted(found)


def main() -> None:
    clients = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    prepare()
    with streamy() as server, Crowd(server.port, ["/stream?id=s0"] * clients, hosts=4):
        for rate in (0, 1):
            if rate:
                server.ask(f"/publish?streams=1&n=60&rate={rate}")
            for path in ("/streamy/ready", "/streamy/live"):
                took = times(server, path)
                figure = f"p50 {took[len(took) // 2]:.1f} ms, the longest {took[-1]:.1f} ms"
                report(f"{path}, {clients:,} clients, {rate} events a second", figure, "< 100 ms")


if __name__ == "__main__":
    main()
