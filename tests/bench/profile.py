"""Where the time goes from `send_event` to the socket: `python -m tests.bench.profile [--quick]`.

Prints a table for one stream with 1,000 clients, and one for 1,000 clients with a stream each. The time
is the processor's, of a part's own lines: what it calls is another's. What measuring takes is taken off.
"""

from __future__ import annotations

import argparse
import functools
import json
import selectors
import socket
import statistics
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from flask import Flask

from .fanout import report
from .load import Crowd
from .processes import Server, StreamyServer, prepare

CLIENTS: Final = 1_000
WAITING: Final = "waiting"

Frame = list[float]
"""Of a part that runs: how long the parts that it has called have taken."""


class Account:
    """What each part has taken of the processor, in seconds, and how often it ran."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self._local = threading.local()
        self._measuring = 0.0
        self._measuring = self._own_cost()

    def clear(self) -> None:
        self.seconds.clear()
        self.calls.clear()

    def measure(self, part: str, owner: Any, name: str, *, with_all: bool = False) -> None:
        """Put what this method takes to this part's account. with_all: with all that it calls."""
        setattr(owner, name, self._measured(part, getattr(owner, name), with_all))

    def _measured(self, part: str, method: Callable[..., Any], with_all: bool) -> Callable[..., Any]:
        local, clock = self._local, time.thread_time

        @functools.wraps(method)
        def measured(*args: Any, **more: Any) -> Any:
            stack: list[Frame | None] = local.__dict__.setdefault("stack", [])
            if stack and stack[-1] is None:
                return method(*args, **more)
            frame: Frame = [0.0]
            stack.append(None if with_all else frame)
            start = clock()
            try:
                return method(*args, **more)
            finally:
                took = clock() - start
                stack.pop()
                self.seconds[part] += took - frame[0]
                self.calls[part] += 1
                if stack and (outer := stack[-1]) is not None:
                    outer[0] += took + self._measuring

        return measured

    def _own_cost(self) -> float:
        """Seconds that measuring one call adds to whoever makes it."""
        nothing = self._measured("", lambda: None, False)
        outer = self._measured("outer", lambda: [nothing() for _ in range(1_000)], False)
        costs: list[float] = []
        for _ in range(50):
            self.clear()
            outer()
            costs.append(self.seconds["outer"] / 1_000)
        self.clear()
        return statistics.median(costs)


PARTS: Final = (
    ("publishing", ("event: check", "publish: keys, observers", "append to the log", "ring the bell")),
    ("the hub", ("hear the bell", "read the log", "put into the window", "wake the loop")),
    ("the loop", ("a turn", "see who is due", "take and encode", "go through the clients", "send (kernel)")),
)


def create_app() -> Flask:
    """The measured app, whose parts are accounted for."""
    from streamy_backends.memory.broker import MemoryBroker
    from streamy_core.broker import BaseWatch
    from streamy_core.delivery.detached.loop import Loop
    from streamy_core.delivery.detached.sending import Sending
    from streamy_core.engine.byte_reader import ByteReader
    from streamy_core.engine.hub import Hub
    from streamy_core.engine.log import Log
    from streamy_core.engine.publisher import Publisher
    from streamy_core.engine.window import Feed

    account = Account()
    for part, owner, name in (
        ("event: check", Publisher, "event"),
        ("publish: keys, observers", Publisher, "publish"),
        ("append to the log", MemoryBroker, "append"),
        ("hear the bell", Hub, "_follow"),
        ("read the log", Log, "read"),
        ("put into the window", Feed, "append"),
        ("a turn", Loop, "_turn"),
        ("see who is due", Loop, "_advance"),
        ("take and encode", ByteReader, "take"),
        ("go through the clients", Sending, "send"),
        ("send (kernel)", socket.socket, "send"),
    ):
        account.measure(part, owner, name)
    account.measure("ring the bell", BaseWatch, "ring", with_all=True)
    account.measure("wake the loop", Hub, "_wake", with_all=True)
    account.measure(WAITING, BaseWatch, "wait", with_all=True)
    account.measure(WAITING, selectors.DefaultSelector, "select", with_all=True)

    from .app import app

    @app.get("/account")
    def tell() -> dict[str, Any]:
        told = {part: [account.seconds[part], account.calls[part]] for part in account.calls}
        account.clear()
        return told

    return app


@contextmanager
def profiled() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        app = f"{__package__}.profile:create_app()"
        server = StreamyServer(app, Path(folder) / "log", options=("--backlog", "4096"), host="0.0.0.0")
        with server.start():
            yield server


class Profile(NamedTuple):
    """Microseconds of the processor for an event: of each part, with how often it ran, and of the process."""

    parts: dict[str, tuple[float, float]]
    process: float


def profile(server: Server, streams: int, count: int, rate: float) -> Profile:
    deliveries = count * CLIENTS // streams
    with Crowd(server.port, [f"/stream?id=s{n % streams}" for n in range(CLIENTS)]) as crowd:
        time.sleep(0.5)  # what comes after the connects is over
        server.ask("/account")
        before = server.cpu()
        server.ask(f"/publish-in-turns?streams={streams}&n={count}&rate={rate}")
        seen = crowd.watch(deliveries, limit=60)
        spent = server.cpu() - before
        assert seen.deliveries == deliveries, f"{seen.deliveries} of {deliveries} deliveries came in time"
        told: dict[str, tuple[float, int]] = json.loads(server.ask("/account"))
    found = {part: (seconds / count * 1e6, calls / count) for part, (seconds, calls) in told.items()}
    return Profile(found, spent / count * 1e6)


def show(title: str, profile: Profile) -> None:
    found, spent = profile
    report(title, "us for an event", "times")
    for group, parts in PARTS:
        report(f"  {group}", f"{sum(found.get(part, (0.0, 0.0))[0] for part in parts):,.1f}")
        for part in parts:
            took, calls = found.get(part, (0.0, 0.0))
            report(f"    {part}", f"{took:,.1f}", f"{calls:,.1f}")
    rest = spent - sum(took for took, _ in found.values())
    report("  waking threads, and all else, measuring included", f"{rest:,.1f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    factor = 1 if parser.parse_args().quick else 5
    prepare()
    with profiled() as server:
        show(f"one stream, {CLIENTS:,} clients", profile(server, 1, 60 * factor, 20))
    with profiled() as server:
        show(f"{CLIENTS:,} clients, a stream each", profile(server, CLIENTS, 1_000 * factor, 200))


if __name__ == "__main__":
    main()
