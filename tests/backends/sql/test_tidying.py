"""Who tidies up, how long keys are remembered, and what becomes of publishing when trimming fails."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from streamy_core.broker import Broker
from streamy_core.testing.reading import DEADLINE, data_of, events, eventually, read_all

from ...support import ROOT
from ..conftest import NewBroker
from .keeping import NEVER_BY_ITSELF, Tables, Time, keeper, kept
from .servers import Server

_PACKAGE: Final = __name__.rpartition(".")[0]


def test_of_several_processes_one_tidies_up(tables: Tables, time: Time) -> None:
    keepers = [keeper(tables, time) for _ in range(5)]
    assert [one.tidy() for one in keepers] == [True, False, False, False, False]


def test_of_several_that_begin_at_once_one_tidies_up(tables: Tables, time: Time) -> None:
    keepers = [keeper(tables, time) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            claims = [claim.result() for claim in [pool.submit(one.tidy) for one in keepers]]
            assert claims.count(True) == 1
            time.pass_(60)


def test_it_is_not_time_before_the_interval_is_over(tables: Tables, time: Time) -> None:
    mine, another = keeper(tables, time, tidy_every=60.0), keeper(tables, time, tidy_every=60.0)
    assert mine.tidy()
    time.pass_(59.9)
    assert not mine.tidy()
    assert not another.tidy()
    time.pass_(0.2)
    assert another.tidy()


def test_when_the_one_that_tidied_up_has_gone_the_next_one_does(tables: Tables, time: Time) -> None:
    tables.append("news", "a", "b", at=time.now)
    gone, next_one = keeper(tables, time, history_age=30.0), keeper(tables, time, history_age=30.0)
    assert gone.tidy()
    gone.close()
    time.pass_(61)
    assert next_one.tidy()
    assert kept(tables.broker) == []


@pytest.mark.parametrize("ahead", [61.0, 86_400.0, 10 * 365 * 86_400.0])
def test_a_clock_that_was_set_ahead_stops_nobody(tables: Tables, time: Time, ahead: float) -> None:
    wrong = Time()
    wrong.pass_(ahead)
    assert keeper(tables, wrong).tidy()
    assert keeper(tables, time).tidy()


def test_a_clock_that_was_a_little_ahead_stops_nobody_for_long(tables: Tables, time: Time) -> None:
    wrong = Time()
    wrong.pass_(30)
    assert keeper(tables, wrong, tidy_every=60.0).tidy()
    assert not keeper(tables, time, tidy_every=60.0).tidy()
    time.pass_(91)
    assert keeper(tables, time, tidy_every=60.0).tidy()


@pytest.mark.slow
def test_a_process_takes_over_from_one_that_was_killed(url: str, new_broker: NewBroker, prefix: str) -> None:
    broker = new_broker(url, **NEVER_BY_ITSELF)
    options = f"table_prefix={prefix}&history_age=0.2&tidy_every=0.1"
    first, second = [tidying(f"{url}?{options}") for _ in range(2)]
    try:
        for one in (first, second):
            broker.append("news", events("a", "b"))
            eventually(lambda: kept(broker) == [], "the entries gone")
            os.kill(one.pid, signal.SIGKILL)
            one.wait(DEADLINE)
    finally:
        for one in (first, second):
            one.kill()
            one.communicate()


def tidying(url: str) -> subprocess.Popen[bytes]:
    """A process that watches, and so tidies up. It does once this returns."""
    command = [sys.executable, "-m", f"{_PACKAGE}.watcher", url]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"watching\n"
    return process


def test_a_key_is_remembered_up_to_its_age(tables: Tables, time: Time) -> None:
    (first,) = tables.broker.append("news", events("a"), idempotency_key="k")
    tables.date("keys", time.now)
    time.pass_(299.9)
    assert keeper(tables, time, key_age=300.0).tidy()
    assert tables.broker.append("news", events("a"), idempotency_key="k") == [first]


def test_a_key_is_forgotten_after_its_age(tables: Tables, time: Time) -> None:
    tables.broker.append("news", events("a"), idempotency_key="k")
    tables.date("keys", time.now)
    time.pass_(300.1)
    assert keeper(tables, time, key_age=300.0).tidy()
    assert tables.count("keys") == 0
    tables.broker.append("news", events("b"), idempotency_key="k")
    assert kept(tables.broker) == ["a", "b"]


def test_only_the_old_ones_of_many_keys_are_forgotten(tables: Tables, time: Time) -> None:
    for n in range(1_100):
        tables.broker.append("news", events("old"), idempotency_key=f"old {n}")
    tables.date("keys", time.now)
    time.pass_(200)
    for n in range(30):
        tables.broker.append("news", events("young"), idempotency_key=f"young {n}")
    tables.date("keys", time.now)
    time.pass_(200)
    assert keeper(tables, time, key_age=300.0).tidy()
    assert tables.count("keys") == 30
    tables.broker.append("news", events("twice"), idempotency_key="young 3")
    assert "twice" not in kept(tables.broker)


def test_a_key_outlives_the_entries_it_stands_for(tables: Tables, time: Time) -> None:
    ids = tables.broker.append("news", events("a", "b"), idempotency_key="k")
    tables.date("entries", time.now)
    tables.date("keys", time.now)
    time.pass_(200)
    assert keeper(tables, time, history_age=100.0).tidy()
    assert kept(tables.broker) == []
    assert tables.broker.append("news", events("a", "b"), idempotency_key="k") == ids


@pytest.fixture
def new_broker_without_delete(
    shared: Callable[[str], Server], new_broker: NewBroker, prefix: str
) -> NewBroker:
    """Makes brokers whose PostgreSQL user may remove nothing from the tables any more."""
    server = shared("postgresql")
    new_broker(server.url)
    server.execute(f"CREATE USER {prefix}writer PASSWORD 'secret'")
    for table in ("streams", "entries", "keys", "meta"):
        server.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {prefix}{table} TO {prefix}writer")

    def make(**options: Any) -> Broker:
        made = new_broker(server.url.replace("//streamy:", f"//{prefix}writer:"), **options)
        server.execute(f"REVOKE DELETE ON {prefix}entries, {prefix}keys FROM {prefix}writer")
        return made

    return make


def test_publishing_goes_on_when_trimming_fails(
    new_broker_without_delete: NewBroker, caplog: pytest.LogCaptureFixture
) -> None:
    broker = new_broker_without_delete(history=4, **NEVER_BY_ITSELF)
    with caplog.at_level(logging.WARNING, "streamy"):
        for n in range(20):
            assert broker.append("news", events(str(n)))
    assert data_of(read_all(broker, "news")) == [str(n) for n in range(20)]
    warnings = {(record.levelname, record.message.partition(":")[0]) for record in caplog.records}
    assert warnings == {("WARNING", "stream 'news' could not be trimmed")}
    assert "permission denied" in caplog.text


def test_tidying_up_that_fails_is_tried_again(
    new_broker_without_delete: NewBroker,
    shared: Callable[[str], Server],
    prefix: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = new_broker_without_delete(history_age=0.1, tidy_every=0.05)
    broker.append("news", events("a", "b"))
    eventually(lambda: "old entries could not be removed" in caplog.text, "a warning")
    assert kept(broker) == ["a", "b"]
    shared("postgresql").execute(f"GRANT DELETE ON {prefix}entries, {prefix}keys TO {prefix}writer")
    eventually(lambda: kept(broker) == [], "the entries gone")
