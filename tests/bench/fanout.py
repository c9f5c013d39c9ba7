"""One gunicorn worker against the bare loop: `python -m tests.bench.fanout [--quick]`.

Prints a table; each ratio is of figures from this run. Needs Linux with two cores, and nothing else
running on them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from .load import Crowd, Seen
from .processes import Server, floor, prepare, streamy


def deliver(server: Server, clients: list[str], events: int, rate: float, publish: str) -> tuple[float, Seen]:
    """Microseconds of the server's CPU per delivery, and what was seen."""
    crowd = Crowd(server.port, clients)
    before = server.cpu()
    server.get(f"{publish}&n={events}&rate={rate}")
    seen = crowd.watch(events * len(clients), limit=60)
    spent = server.cpu() - before
    crowd.close()
    assert seen.deliveries == events * len(clients), f"{seen.deliveries} of {events * len(clients)}"
    return spent / seen.deliveries * 1e6, seen


def one_stream(server: Server, events: int, rate: float) -> tuple[float, Seen]:
    return deliver(server, ["/stream?id=s0"] * 1000, events, rate, "/publish?streams=1")


def many_streams(server: Server, events: int, rate: float) -> tuple[float, Seen]:
    return deliver(server, [f"/stream?id=s{i % 100}" for i in range(1000)], events, rate, "/publish?streams=100")


def median(measure: Callable[[], tuple[float, Seen]], times: int) -> tuple[float, Seen]:
    results = sorted((measure() for _ in range(times)), key=lambda result: result[0])
    return results[len(results) // 2]


def report(name: str, figure: str, target: str = "") -> None:
    print(f"{name:<58} {figure:>34}   {target}", flush=True)


def fan_out(rounds: int) -> None:
    """Paced and at saturation, interleaved with the floor."""
    paced: dict[str, list[float]] = {"floor": [], "streamy": []}
    full: dict[str, list[float]] = {"floor": [], "streamy": []}
    shown: dict[str, Seen] = {}
    for _ in range(rounds):
        for name, start in (("floor", floor), ("streamy", streamy)):
            server = start()
            cost, shown[f"{name} paced"] = one_stream(server, 100, 20)
            paced[name].append(cost)
            # The floor can do no more than about 140 events a second; ours is given what it can take.
            events, rate = (300, 1e6) if name == "floor" else (4000, 1200)
            cost, shown[f"{name} full"] = one_stream(server, events, rate)
            full[name].append(cost)
            server.stop()
    for kind, costs, target in (("paced", paced, "<= 1.15"), ("full", full, "<= 0.15")):
        ours, bare = statistics.median(costs["streamy"]), statistics.median(costs["floor"])
        report(f"CPU per delivery, {kind}: streamy / floor", f"{ours:.2f} / {bare:.2f} us = {ours / bare:.2f}", target)
        for name in ("streamy", "floor"):
            seen = shown[f"{name} {kind}"]
            rate = f"{seen.deliveries / seen.seconds:,.0f}/s"
            report(f"  {name}", f"p50 {seen.percentile(0.5):.1f} p99 {seen.percentile(0.99):.1f} ms, {rate}")


def spread(rounds: int) -> None:
    """100 streams x 10 clients against 1 x 1,000."""
    server = streamy()
    one, many = [], []
    for _ in range(rounds):
        one.append(one_stream(server, 100, 20)[0])
        many.append(many_streams(server, 100, 20)[0])
    server.stop()
    ratio = statistics.median(many) / statistics.median(one)
    report("100 streams x 10 clients / 1 x 1,000, per delivery", f"{ratio:.2f}", "<= 1.5")


def connects() -> None:
    """2,000 connects against as many "hello"s, each on its own connection."""
    server = streamy()
    start = time.monotonic()
    for _ in range(2000):
        server.get("/hello")
    hello = time.monotonic() - start
    crowd = Crowd(server.port, ["/stream?id=s0"] * 2000)
    report("2,000 connects / 2,000 hellos", f"{crowd.connect_seconds:.2f} / {hello:.2f} s", "<= 2 x")
    crowd.close()
    server.stop()


def ten_thousand(seconds: float) -> None:
    """10,000 clients: memory, idle cost, every event while ordinary requests are answered, leaving."""
    server = streamy()
    warm = Crowd(server.port, ["/stream?id=s0"] * 200)
    warm.close()
    before = server.resident()
    crowd = Crowd(server.port, ["/stream?id=s0"] * 10_000, hosts=4)
    report("resident per idle client", f"{(server.resident() - before) / 10_000 / 1024:.2f} KiB", "<= 2 KiB")
    cpu, start = server.cpu(), time.monotonic()
    crowd.watch(1, limit=seconds)
    report("idle, 10,000 clients", f"{(server.cpu() - cpu) / (time.monotonic() - start):.2%} of a core", "< 3 %")
    server.get("/publish?n=10&rate=1")
    waits = []
    seen = 0
    while seen < 100_000:
        start = time.monotonic()
        server.get("/hello")
        waits.append(time.monotonic() - start)
        seen += crowd.watch(100_000 - seen, limit=0.05).deliveries
    waits.sort()
    report("ordinary requests meanwhile, p50 / p99", f"{waits[len(waits) // 2] * 1e3:.1f} / {waits[int(len(waits) * 0.99)] * 1e3:.1f} ms", "p99 < 50 ms")
    report("deliveries to 10,000 clients of 10 events", f"{seen:,}", "100,000")
    report("leaving with 10,000 clients", f"{server.stop():.2f} s", "< 2 s")
    crowd.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["fan_out", "spread", "connects", "ten_thousand"])
    args = parser.parse_args()
    prepare()
    steps: dict[str, Callable[[], None]] = {
        "fan_out": lambda: fan_out(1 if args.quick else 5),
        "spread": lambda: spread(1 if args.quick else 3),
        "connects": connects,
        "ten_thousand": lambda: ten_thousand(5 if args.quick else 60),
    }
    for name, step in steps.items():
        if args.only in (None, name):
            step()


if __name__ == "__main__":
    main()
