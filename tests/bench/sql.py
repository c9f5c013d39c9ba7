"""The SQL broker against its databases' bare drivers: `python -m tests.bench.sql [--quick] [--only PART]`.

Prints a table; each ratio is of figures from this run, taken in turns. Starts the servers itself.
"""

from __future__ import annotations

import argparse
import itertools
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import psycopg
import pymysql

from streamy_backends.sql import from_url
from streamy_core import Event, StreamManager

from ..backends.sql.servers import HOW_TO_GET, Mariadb, Postgresql, Server, programs
from .fanout import report
from .load import Crowd
from .processes import allow_many_files, streamy

TEXT: Final = "x" * 100
LONG: Final = 1_000_000
"""Rows of a long history."""

_names = itertools.count()


def per_second(action: Callable[[], object], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        action()
    return count / (time.perf_counter() - start)


class Bare:
    """The bare transaction: count, insert, commit."""

    def __init__(self, url: str) -> None:
        self._connection: Any
        if url.startswith("sqlite:"):
            self._connection = sqlite3.connect(url.removeprefix("sqlite:///").partition("?")[0])
            synchronous = "normal" if "synchronous=normal" in url else "full"
            self._connection.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}")
            mark, kind = "?", "TEXT"
        else:
            login, _, where = url.partition("://")[2].partition("@")
            user, password = login.split(":")
            host, database = where.split("/")
            port = int(host.partition(":")[2])
            connect = psycopg.connect if url.startswith("postgresql") else pymysql.connect
            name = "dbname" if url.startswith("postgresql") else "database"
            self._connection = connect(
                host="127.0.0.1", port=port, user=user, password=password, **{name: database}
            )
            mark, kind = "%s", "VARCHAR(255)"
        cursor = self._connection.cursor()
        cursor.execute("DROP TABLE IF EXISTS bare_streams")
        cursor.execute("DROP TABLE IF EXISTS bare_entries")
        cursor.execute(f"CREATE TABLE bare_streams (name {kind} PRIMARY KEY, head BIGINT)")
        cursor.execute(
            f"CREATE TABLE bare_entries (name {kind}, head BIGINT, data TEXT, PRIMARY KEY (name, head))"
        )
        cursor.execute("INSERT INTO bare_streams VALUES ('news', 0)")
        self._connection.commit()
        self._count = f"UPDATE bare_streams SET head = head + 1 WHERE name = {mark}"
        self._insert = (
            f"INSERT INTO bare_entries SELECT name, head, {mark} FROM bare_streams WHERE name = {mark}"
        )

    def publish(self) -> None:
        cursor = self._connection.cursor()
        cursor.execute(self._count, ("news",))
        cursor.execute(self._insert, (TEXT, "news"))
        self._connection.commit()

    def close(self) -> None:
        self._connection.close()


def publishing(name: str, url: str, target: str, rounds: int) -> None:
    """One caller: `send_event` and `send_events` against the bare transaction."""
    batch = [TEXT] * 100
    singles, batches, base = [], [], []
    with closing(Bare(url)) as bare, StreamManager(broker=url) as sse:
        for _ in range(rounds):
            before = per_second(bare.publish, 200)
            single = per_second(lambda: sse.send_event("single", TEXT), 200)
            many = per_second(lambda: sse.send_events("batch", batch), 5) * 100
            after = per_second(bare.publish, 200)
            base.append((before + after) / 2)
            singles.append(single / base[-1])
            batches.append(many / single)
    report(f"{name}: bare transaction", f"{statistics.median(base):,.0f}/s")
    report(f"{name}: send_event / bare", f"{statistics.median(singles):.2f}", target)
    report(
        f"{name}: send_events of 100 / send_event, per event", f"{statistics.median(batches):.1f}", ">= 15"
    )


@contextmanager
def publisher(url: str, count: int, rate: float, streams: int = 1) -> Iterator[None]:
    module = "tests.bench.publisher"
    command = (sys.executable, "-m", module, url, "streamy", str(count), str(rate), str(streams))
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.wait(120)


def latency(name: str, url: str, count: int, target: str) -> None:
    """From publishing in one process to a client of another."""
    with (
        streamy(BROKER_URL=url) as worker,
        Crowd(worker.port, ["/stream?id=s0"]) as crowd,
        publisher(url, count, 5),
    ):
        found = sorted(crowd.watch(count, limit=count, spin=False).latencies)
    p50, p99 = (found[len(found) * part // 100] * 1_000 for part in (50, 99))
    report(f"{name}: publish to client, p50 (p99)", f"{p50:.1f} ms ({p99:.1f} ms)", target)


def watching(name: str, url: str, seconds: float) -> None:
    """100 events a second, each to one of ten streams, or of 10,000; one client each."""
    costs, latencies = {}, {}
    for streams in (10, 10_000):
        count = int(seconds * 100)
        more = f"{'&' if '?' in url else '?'}table_prefix=w{next(_names)}_"
        paths = [f"/stream?id=s{n}" for n in range(streams)]
        with streamy(BROKER_URL=url + more) as worker, Crowd(worker.port, paths, hosts=4) as crowd:
            with publisher(url + more, 100, 100, streams):
                crowd.watch(100, limit=30, spin=False)
            before = worker.cpu()
            with publisher(url + more, count, 100, streams):
                seen = crowd.watch(count, limit=seconds + 30, sample=streams, spin=False)
            assert seen.deliveries == count, f"{seen.deliveries} of {count} deliveries came in time"
            costs[streams] = (worker.cpu() - before) / seen.seconds
            latencies[streams] = seen.percentile(0.99)
    few, many = costs.values()
    figure = f"{many:.1%} / {few:.1%} = {many / few:.2f}"
    report(f"{name}: CPU of a worker, 10,000 streams / 10", figure, "<= 1.3")
    few, many = latencies.values()
    report(f"{name}: p99, likewise", f"{many:.1f} / {few:.1f} ms = {many / few:.2f}", "<= 1.5")


class Questions:
    """Counts the statements that a server is sent by others."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection = server.connect()
        self._own = 0

    def count(self) -> int:
        """All so far."""
        if isinstance(self._server, Postgresql):  # which logs every one
            return (self._server.folder / "server.log").read_text(errors="replace").count("LOG:  ")
        self._own += 1
        cursor = self._connection.cursor()
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Questions'")
        return int(cursor.fetchone()[1]) - self._own

    def close(self) -> None:
        self._connection.close()


def queries(server: Server, url: str, paths: list[str], seconds: float) -> tuple[float, float]:
    """Statements a second, idle and at ten events a second, for the clients of one worker."""
    with (
        closing(Questions(server)) as questions,
        streamy(BROKER_URL=url) as worker,
        Crowd(worker.port, paths, hosts=4) as crowd,
    ):
        time.sleep(2)
        idle = rate_of(questions, seconds)
        count = int(seconds * 10)
        with publisher(url, count, 10):
            crowd.watch(paths.count("/stream?id=s0") * 3, limit=30)  # it has started
            busy = rate_of(questions, seconds / 2)
    return idle, busy


def rate_of(questions: Questions, seconds: float) -> float:
    before = questions.count()
    time.sleep(seconds)
    return (questions.count() - before) / seconds


def crowds(name: str, server: Server, more: str, seconds: float) -> None:
    found = {}
    for label, paths in (
        ("1 client", ["/stream?id=s0"]),
        ("10,000 clients", ["/stream?id=s0"] * 10_000),
        ("1,000 streams", [f"/stream?id=s{n}" for n in range(1_000)]),
    ):
        url = f"{server.url}?table_prefix=q{next(_names)}_{more}"
        found[label] = queries(server, url, paths, seconds)
    for place, when in enumerate(("idle", "at 10 events/s")):
        figures = ", ".join(f"{each[place]:.1f}" for each in found.values())
        report(f"{name}: statements/s {when}; 1, 10,000 clients; 1,000 streams", figures, "the same")


def ticks(name: str, url: str) -> None:
    """A look at so many streams."""
    with from_url(url, {"table_prefix": f"k{next(_names)}_"}) as broker:
        for n in range(1_000):
            broker.append(f"stream-{n}", [Event(TEXT)])
        for count in (1, 1_000):
            names = [f"stream-{n}" for n in range(count)]
            look = partial(broker._looks.heads, names)  # type: ignore[attr-defined]
            took = statistics.median(1_000 / per_second(look, 20) for _ in range(5))
            report(f"{name}: a look at {count:,} streams", f"{took:.2f} ms", "< 20 ms")


def reading(name: str, url: str, rows: int) -> None:
    """A page of ten at the head of a short history, and of a long one."""
    with from_url(url, {"table_prefix": f"r{next(_names)}_", "history": 2 * rows}) as broker:
        places = {}
        for stream, count in (("short", 10), ("long", rows)):
            places[stream, "first"] = broker.tail([stream])[stream]
            for start in range(0, count, 2_000):
                ids = broker.append(stream, [Event(TEXT)] * min(2_000, count - start))
            places[stream] = ids[-1]
            places[stream, "half"] = ids[len(ids) // 2]
        costs: dict[str, list[float]] = {"short": [], "long": []}
        for _ in range(20):
            for stream, found in costs.items():
                cursor = places[stream]
                found.append(1e6 / per_second(lambda: broker.read({stream: cursor}, 10), 50))  # noqa: B023
        short, long = (statistics.median(costs[stream]) for stream in ("short", "long"))
        report(
            f"{name}: a read after {rows:,} rows / 10 rows",
            f"{long:.0f} / {short:.0f} us = {long / short:.2f}",
            "<= 1.5",
        )
        half = places["long", "half"]
        full = 1e6 / per_second(lambda: broker.read({"long": half}, 10), 200)
        ten = broker.read({"short": places["short", "first"]}, 10)
        assert len(ten["short"].entries) == 10
        base = 1e6 / per_second(lambda: broker.read({"short": places["short", "first"]}, 10), 200)
        report(
            f"{name}: a page of ten, likewise", f"{full:.0f} / {base:.0f} us = {full / base:.2f}", "<= 1.5"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["publishing", "latency", "watching", "crowds", "ticks", "reading"])
    args = parser.parse_args()
    allow_many_files()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        servers: list[Server] = []
        for kind, make, settings in (
            ("postgresql", Postgresql, ()),
            ("mariadb", Mariadb, ()),
        ):
            found = programs(kind) or sys.exit(f"{kind} is missing: {HOW_TO_GET[kind]}")
            servers.append(make(*found, folder / kind, *settings).start())
        try:
            measure(args.only, args.quick, folder, *servers)
        finally:
            for server in servers:
                server.stop()


def measure(only: str | None, quick: bool, folder: Path, postgresql: Server, mariadb: Server) -> None:
    sqlite = f"sqlite:///{folder}/streams.db"
    every = (("SQLite", sqlite), ("PostgreSQL", postgresql.url), ("MariaDB", mariadb.url))
    if only in (None, "publishing"):
        rounds = 5 if quick else 20
        publishing("SQLite, normal", f"sqlite:///{folder}/fast.db?synchronous=normal", ">= 0.2", rounds)
        publishing("SQLite, full", sqlite, ">= 0.2", rounds)
        publishing("PostgreSQL", postgresql.url, ">= 0.6", rounds)
        publishing("MariaDB", mariadb.url, ">= 0.6", rounds)
    if only in (None, "latency"):
        count = 20 if quick else 100
        latency("SQLite", sqlite, count, "< 10 ms")
        latency("PostgreSQL", postgresql.url, count, "< 10 ms")
        latency("PostgreSQL, polling", f"{postgresql.url}?notify=false", count, "< 50 ms")
        latency("MariaDB, polling", mariadb.url, count, "< 50 ms")
    if only in (None, "watching"):
        for name, url in every:
            watching(name, url, 5 if quick else 20)
    if only in (None, "ticks"):
        for name, url in every:
            ticks(name, url)
    if only in (None, "reading"):
        for name, url in every:
            reading(name, url, LONG // 10 if quick else LONG)
    if only in (None, "crowds"):
        seconds = 4 if quick else 10
        postgresql.execute("ALTER SYSTEM SET log_statement = 'all'")
        postgresql.execute("SELECT pg_reload_conf()")
        crowds("PostgreSQL", postgresql, "", seconds)
        crowds("MariaDB", mariadb, "", seconds)


if __name__ == "__main__":
    main()
