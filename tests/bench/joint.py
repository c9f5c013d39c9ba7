"""Joint connections against the bare loop: `python -m tests.bench.joint [--quick] [--only PART]`.

1,000 clients, each of one shared stream and of some of its own; events go to the shared one. Prints a
table; each ratio is of figures from this run, taken in turns. Needs what `tests.bench.fanout` needs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from .fanout import SATURATION, report
from .load import Crowd
from .processes import Server, floor, prepare, streamy

CLIENTS: Final = 1_000
STREAMS: Final = (1, 2, 10, 100)
PACED: Final = (40, 20.0)
"""Events, and how many a second."""
FULL: Final = {"floor": (200, 1e6), "streamy": (2_000, SATURATION)}
TARGETS: Final = {
    (2, "paced"): "<= 1.5",
    (2, "full"): "<= 0.4",
    (10, "paced"): "<= 1.8",
    (10, "full"): "<= 0.6",
    (100, "paced"): "<= 2.5",
}


def paths(streams: int, clients: int = CLIENTS, shared: str = "s0") -> list[str]:
    """Those of clients that read the shared stream, and others that nobody else reads, so many in all."""
    own = [[f"&id=u{client}.{n}" for n in range(1, streams)] for client in range(clients)]
    return [f"/stream?id={shared}{''.join(names)}" for names in own]


def cost(server: Server, crowd: Crowd, events: int, rate: float) -> tuple[float, float]:
    """Microseconds of the server's CPU per delivery, and the p99 in milliseconds."""
    settle(server)
    before = server.cpu()
    server.ask(f"/publish?n={events}&rate={rate}")
    seen = crowd.watch(events * CLIENTS, limit=60)
    assert seen.deliveries == events * CLIENTS, f"{seen.deliveries} deliveries came in time"
    return (server.cpu() - before) / seen.deliveries * 1e6, seen.percentile(0.99)


def settle(server: Server) -> None:
    """Wait until the server has done all that newcomers cause."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        before = server.cpu()
        time.sleep(0.5)
        if server.cpu() - before < 0.01:
            return
    raise AssertionError("the server doesn't come to rest")


def fan_out(rounds: int, several: tuple[int, ...]) -> None:
    """What a delivery costs, by how many streams each client reads."""
    found: dict[tuple[int, str], list[tuple[float, float]]] = defaultdict(list)
    for _ in range(rounds):
        for streams in several:
            with floor() as bare, streamy() as ours:
                with Crowd(bare.port, ["/stream"] * CLIENTS) as crowd:
                    found[0, "paced"].append(cost(bare, crowd, *PACED))
                    found[0, "full"].append(cost(bare, crowd, *FULL["floor"]))
                with Crowd(ours.port, paths(streams)) as crowd:
                    found[streams, "paced"].append(cost(ours, crowd, *PACED))
                    if streams < 100:  # an id line of a hundred streams is ten times the event
                        found[streams, "full"].append(cost(ours, crowd, *FULL["streamy"]))
    for (streams, kind), costs in sorted(found.items()):
        mine, p99 = (statistics.median(figures) for figures in zip(*costs, strict=True))
        least = statistics.median(each for each, _ in found[0, kind])
        figure = f"{mine:.2f} / {least:.2f} us = {mine / least:.2f}; p99 {p99:.1f} ms"
        report(f"{streams} streams a client, {kind}", figure, TARGETS.get((streams, kind), ""))


def names(rounds: int) -> None:
    """20,000 names in one process against 2,000: 1,000 clients of two streams, and idle ones of 100."""
    costs: dict[int, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for count in (2_000, 20_000):
            idle = paths(100, clients=(count - CLIENTS) // 100, shared="quiet")
            with (
                streamy() as server,
                Crowd(server.port, [path.replace("=u", "=other") for path in idle]),
                Crowd(server.port, paths(2)) as crowd,
            ):
                costs[count].append(cost(server, crowd, *PACED)[0])
    few, many = (statistics.median(each) for each in costs.values())
    report("20,000 names / 2,000, per delivery", f"{many:.2f} / {few:.2f} us = {many / few:.2f}", "<= 1.1")


def memory(several: tuple[int, ...]) -> None:
    """Resident per idle client."""
    targets = {1: "<= 2 KiB", 2: "<= 1.5 KiB", 10: "<= 4 KiB"}
    for streams in several:
        with streamy() as server:
            Crowd(server.port, paths(streams, 200)).close()
            before = server.resident()
            clients = 10_000 // max(1, streams // 4)
            with Crowd(server.port, paths(streams, clients, "s1"), hosts=4):
                settle(server)
                each = (server.resident() - before) / clients / 1024
        report(
            f"{streams} streams a client, resident per idle one", f"{each:.2f} KiB", targets.get(streams, "")
        )


def fairness(rounds: int) -> None:
    """The p99 of 10 clients of a quiet stream, alone and beside 1,000 joint ones of a busy one."""
    waits: dict[bool, list[float]] = defaultdict(list)
    for _ in range(rounds):
        with (
            streamy() as server,
            Crowd(server.port, paths(2)) as others,
            Crowd(server.port, ["/stream?id=quiet"] * 10) as crowd,
        ):
            for busy in (False, True):
                settle(server)
                if busy:
                    server.ask("/publish?n=200&rate=20")
                server.ask("/publish?id=quiet&n=100&rate=13")
                # The others' share of the load would be measured with it: they are read afterwards.
                waits[busy].append(crowd.watch(1_000, limit=30, sample=10).percentile(0.99))
            others.watch(200 * CLIENTS, limit=30)
    alone, beside = (statistics.median(each) for each in waits.values())
    figure = f"{beside:.1f} / {alone:.1f} ms = {beside / alone:.2f}"
    report("p99 of a quiet stream beside 1,000 joint clients / alone", figure, "<= 2")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["fan_out", "names", "memory", "fairness"])
    parser.add_argument("--streams", type=int, nargs="*", default=STREAMS)
    args = parser.parse_args()
    prepare()
    rounds = 1 if args.quick else 5
    several = tuple(args.streams)
    steps: dict[str, Callable[[], None]] = {
        "fan_out": lambda: fan_out(rounds, several),
        "names": lambda: names(rounds),
        "memory": lambda: memory(several),
        "fairness": lambda: fairness(rounds),
    }
    for name, step in steps.items():
        if args.only in (None, name):
            step()


if __name__ == "__main__":
    main()
