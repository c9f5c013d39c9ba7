"""Runs and real processes that are killed, stand still, and race, on backends that they share.

`TEST_RUNS=20` asks for so many times as much as a run in CI: 100 kills, 500 races of starters, 1,000 stops.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

import pytest

from streamy_core import RunEnd, RunOutcome, StreamManager
from streamy_core.testing import FromUrl
from streamy_core.testing.processes import Process, starter_of
from streamy_core.testing.reading import eventually

from ..backends.conftest import shared_servers
from ..backends.redis.conftest import program
from ..backends.redis.servers import Server as RedisServer
from ..backends.sql.conftest import server_in
from ..support.process import started_once
from .actions import produce, produce_at_once, start_each
from .conftest import Reading

__all__ = ["shared_servers"]

pytestmark = pytest.mark.slow

TIMES: Final = int(os.environ.get("TEST_RUNS", "1"))
AT_ONCE: Final = 5
LEASE: Final = 1.5
COUNTS: Final = {"kills": TIMES, "starts": 25 * TIMES, "stops": 50 * TIMES}


@pytest.fixture(params=["sqlite", "redis", "postgresql"])
def make_broker(
    request: pytest.FixtureRequest, shared_servers: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> FromUrl:
    kind = request.param
    folder = tmp_path_factory.mktemp(kind)
    prefix = f"runs{os.getpid()}_{time.monotonic_ns()}_"
    if kind == "sqlite":
        return FromUrl(f"sqlite:///{folder}/streams.db", create_tables=True)
    if kind == "redis":
        server = started_once(shared_servers, "redis", lambda: RedisServer(program("redis"), folder).start())
        return FromUrl(server.url, prefix=prefix)
    server = started_once(shared_servers, kind, lambda: server_in(kind, folder).start())
    return FromUrl(server.url, table_prefix=prefix, create_tables=True)


@pytest.fixture
def sse(make_broker: FromUrl) -> Iterator[StreamManager]:
    """That of the test's own process, which has clients."""
    with make_broker() as broker, StreamManager(broker=broker) as sse:
        sse.binding.runs.follow()
        yield sse


@pytest.fixture
def elsewhere(
    sse: StreamManager, make_broker: FromUrl, pytestconfig: pytest.Config
) -> Iterator[Callable[[], Process]]:
    """Starts processes, of which one that is left is killed."""
    with ExitStack() as to_close:

        def start() -> Process:
            process = starter_of(pytestconfig).start(make_broker)
            to_close.callback(process.close)
            return process

        yield start


def test_a_run_whose_process_is_killed_at_any_moment_is_lost_to_all_in_time(
    sse: StreamManager, elsewhere: Callable[[], Process]
) -> None:
    ends: Counter[str] = Counter()
    for batch in range(COUNTS["kills"]):
        names = [f"job:{batch}:{number}" for number in range(AT_ONCE)]
        holders = [elsewhere() for _ in names]
        readings = [Reading(sse, name) for name in names]
        killed: dict[str, float] = {}
        for holder, name in zip(holders, names, strict=True):
            holder.start(produce, name, LEASE, 20, 0.004)
            holder.go()
            time.sleep(random.random() * 0.15)
            holder.kill()
            killed[name] = time.monotonic()
        for name, reading in zip(names, readings, strict=True):
            if sse.exists(name):
                within = max(0.0, killed[name] + LEASE + 1 - time.monotonic())
                text = "".join(entry.event.data for entry in reading.rest(within))
                assert "".join(f"{number} " for number in range(20)).startswith(text)
                assert reading.end in (RunEnd(RunOutcome.LOST), RunEnd(RunOutcome.DONE))
                ends[reading.end.outcome] += 1
            reading.close()
    print(f"killed: {dict(ends)}")
    assert ends["lost"]


def test_a_process_that_stood_still_past_its_lease_writes_nothing_when_it_goes_on(
    sse: StreamManager, elsewhere: Callable[[], Process]
) -> None:
    holder = elsewhere()
    holder.start(produce, "job", LEASE, 100_000, 0.002)
    holder.go()
    reading = Reading(sse, "job")
    eventually(lambda: sse.exists("job") and len(sse.history("job").entries) > 5, "producing")
    os.kill(holder.pid, signal.SIGSTOP)
    frozen = time.monotonic()
    try:
        reading.rest(within=LEASE + 1)
        assert time.monotonic() - frozen < LEASE + 1
        before = sse.broker.tail(["job"])
    finally:
        os.kill(holder.pid, signal.SIGCONT)
    assert holder.result() == "lost", "its holder finds out"
    assert (reading.end, sse.broker.tail(["job"])) == (RunEnd(RunOutcome.LOST), before)
    reading.close()


def test_of_two_starters_in_two_processes_one_has_the_run(
    sse: StreamManager, elsewhere: Callable[[], Process]
) -> None:
    names = [f"chat:{number}" for number in range(COUNTS["starts"])]
    starters = {who: elsewhere() for who in ("a", "b")}
    for who, starter in starters.items():
        starter.start(start_each, names, who)
    for starter in starters.values():
        starter.go()
    ours = {who: set(starter.result(within=300)) for who, starter in starters.items()}
    assert ours["a"] | ours["b"] == set(names), "each has been started"
    assert not ours["a"] & ours["b"], "none twice"
    for who, won in ours.items():
        for name in won:
            assert [entry.event.data for entry in sse.history(name).entries] == [who]


def test_a_stop_that_races_the_end_has_one_outcome_and_loses_nothing_that_was_yielded(
    sse: StreamManager, elsewhere: Callable[[], Process]
) -> None:
    names = [f"chat:{number}" for number in range(COUNTS["stops"])]
    producer = elsewhere()
    producer.start(produce_at_once, names, 3)
    producer.go()
    for name in names:
        eventually(lambda name=name: sse.exists(name), "the beginning of a run")
        time.sleep(random.random() * 0.004)
        sse.stop_run(name)
    ended = producer.result(within=300)
    for name, (outcome, yielded) in zip(names, ended, strict=True):
        for _ in range(2):
            reading = Reading(sse, name)
            text = "".join(entry.event.data for entry in reading.rest())
            assert reading.end == RunEnd(RunOutcome(outcome))
            assert text == "".join(f"{number} " for number in range(yielded))
            reading.close()
        assert outcome == "stopped" or yielded == 3
    print(f"stopped: {dict(Counter(ended))}")
