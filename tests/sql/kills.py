"""Servers and processes killed in the midst of publishing, and what came of it."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from streamy_core import Entry, StreamManager
from streamy_core.engine.hub import Health
from streamy_core.strategies import ExponentialBackoff
from streamy_core.testing.reading import DEADLINE, read_all

from ..support import ROOT
from ..support.app_server import AppServer
from ..support.crowd import Crowd, Record
from .publish import command
from .servers import Server

EVENTS: Final = 3_000
KILLED_AT: Final = 1_000
CLIENTS: Final = 20
PUBLISHERS: Final = 4

VICTIMS: Final = 5
OF_A_VICTIM: Final = 30
"""So many events it has acknowledged, at least, when it is killed."""


@dataclass
class Outage:
    """What came of publishing numbers while the server was killed and started again.

    acknowledged: number -> the id that `send_event` returned.
    log:          id and number of each entry, in order.
    received:     id, event name and data of what each client got.
    connections:  how often each client had to connect.
    """

    acknowledged: dict[int, str] = field(default_factory=dict)
    log: list[tuple[str, int]] = field(default_factory=list)
    received: list[list[tuple[str | None, str, str | None]]] = field(default_factory=list)
    connections: list[int] = field(default_factory=list)
    health_while_away: Health | None = None
    health_in_the_end: Health | None = None


@dataclass
class Crash:
    """What came of publishing to one SQLite file while some of the processes were killed.

    acknowledged: name of a process -> the ids it had printed when it ended.
    log:          the stream in the end.
    followed:     what another process got of it meanwhile.
    """

    acknowledged: dict[str, list[str]]
    log: list[Entry]
    followed: list[Entry]


def kill_a_server(server: Server, folder: Path) -> Outage:
    """Have several threads publish while a crowd reads and the server is killed, and started again."""
    url = f"{server.url}?history=10000"
    retry = ExponentialBackoff(retries=50, first=0.05, ceiling=0.5)
    found, record = Outage(), Record()
    with ExitStack() as to_close:
        settings = {"STREAMY_BROKER_URL": url, "STREAMY_RETRY_POLICY": "tests.support.app:SOON"}
        worker = to_close.enter_context(AppServer(folder / "gunicorn.log", settings=settings).start())
        to_close.callback(lambda: print(worker.log()))
        sse = to_close.enter_context(StreamManager(broker=url, retry=retry))

        def publish(first: int) -> None:
            for number in range(first, EVENTS, PUBLISHERS):
                found.acknowledged[number] = sse.send_event("news", str(number))

        pool = to_close.enter_context(ThreadPoolExecutor(PUBLISHERS))
        crowd = to_close.enter_context(Crowd(worker.address, worker.path("news"), CLIENTS, record))
        crowd.run_until_open()
        publishing = [pool.submit(publish, first) for first in range(PUBLISHERS)]
        crowd.run_until(lambda: len(found.acknowledged) >= KILLED_AT, "the first events")
        server.kill()
        crowd.run_until(lambda: worker.health().failing, "a worker that knows")
        found.health_while_away = worker.health()
        server.start()
        crowd.run_until(lambda: not wait(publishing, 0).not_done, "the other events", within=60)
        for publisher in publishing:
            publisher.result()
        entries = read_all(sse.broker, "news")
        found.log = [(entry.id, int(entry.event.data)) for entry in entries]
        crowd.run_until(
            lambda: all(len(record.frames[source]) >= len(entries) for source in crowd.sources),
            "all events at all clients",
        )
        found.received = [
            [(frame.id, frame.name, frame.data) for frame in record.frames[source]]
            for source in crowd.sources
        ]
        found.connections = [source.connections for source in crowd.sources]
        found.health_in_the_end = worker.health()
    return found


def kill_publishers(url: str) -> Crash:
    """Have processes publish while this one reads, and kill one after the other, but for a survivor."""
    acknowledged: dict[str, list[str]] = {}
    with ExitStack() as to_close:

        def publisher(name: str, count: int) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                command(url, "news", name, count), cwd=ROOT, stdout=subprocess.PIPE, text=True
            )
            to_close.enter_context(process)
            to_close.callback(process.kill)
            return process

        reading = to_close.enter_context(StreamManager(broker=url))
        pool = to_close.enter_context(ThreadPoolExecutor(1))
        subscription = to_close.enter_context(reading.subscribe("news"))
        following = pool.submit(list, subscription)
        survivor = publisher("survivor", 100_000)
        assert survivor.stdout is not None
        ids = [survivor.stdout.readline().strip()]
        for number in range(VICTIMS):
            victim = publisher(f"victim-{number}", 100_000)
            assert victim.stdout is not None
            printed = [victim.stdout.readline().strip() for _ in range(OF_A_VICTIM + number)]
            victim.kill()
            acknowledged[f"victim-{number}"] = printed + victim.stdout.read().split()
            ids.append(survivor.stdout.readline().strip())
        acknowledged["survivor"] = ids
        # It goes on, also when nobody else writes any more.
        ids += [survivor.stdout.readline().strip() for _ in range(100)]
        survivor.terminate()
        ids += survivor.stdout.read().split()
        reading.end_stream("news")
        return Crash(acknowledged, read_all(reading.broker, "news"), following.result(DEADLINE))
