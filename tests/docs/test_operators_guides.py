"""The guides for operators: what they say moves does, by real parts, and their tables leave nothing out."""

from __future__ import annotations

import logging
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from streamy_backends.memory import Limits as Kept
from streamy_backends.redis.options import Options as RedisOptions
from streamy_backends.sql.options import Options as SqlOptions
from streamy_core import StreamManager
from streamy_core.cli.doctor import process as doctor
from streamy_core.cli.doctor.gunicorn import Gunicorn
from streamy_core.config import Settings
from streamy_core.delivery import descriptors as sharing
from streamy_core.delivery.limits import Limits
from streamy_core.observers import DisconnectReason, GapCause, TurnAwayCause
from streamy_core.observers.metrics.prometheus import DIED
from streamy_core.signals import client_disconnected, stream_ended
from streamy_core.testing.reading import DEADLINE, eventually

from ..engine.doubles import FaultyBroker
from ..observers.metrics.stage import Stage
from ..support.proxy import Proxy
from ..support.raw_client import RawClient
from .conftest import EXAMPLES, Load

pytestmark = pytest.mark.slow

LATE: Final = "streamy_loop_lag_seconds_bucket"


@pytest.fixture(params=["detached", "wsgi"])
def delivery(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The lines so far, as the guides have them."""
    caplog.set_level(logging.DEBUG, "streamy")
    return lambda: [
        f"{record.levelname} {record.name}: {record.getMessage()}" for record in list(caplog.records)
    ]


# -- events are late


def test_a_deaf_process_is_late_by_the_watchdog_and_counts_and_logs_it(log: Callable[[], list[str]]) -> None:
    with Stage("detached", watchdog_interval=0.3) as stage, stage.read("news:1") as client:
        stage.sse.send_event("news:1", "a")
        client.read(1)
        stage.broker.deaf = True
        with stage.moves("streamy_missed_bells_total"):
            sent = time.monotonic()
            stage.sse.send_event("news:1", "b")
            client.read(2)
            assert 0.01 < time.monotonic() - sent < 5
        line = "WARNING streamy.hub: 1 streams had grown without a bell: "
        eventually(lambda: any(told.startswith(line) for told in log()), "the line is in the log")


def test_a_receiver_of_ends_that_blocks_has_bells_heard_late() -> None:
    late = "streamy_bell_seconds_bucket"
    with Stage("detached", canary_interval=0.1) as stage, stage.read("news:1"):

        def block(_: object, **news: Any) -> None:
            time.sleep(0.6)

        eventually(lambda: stage.value(late, le="0.25"), "a bell that is heard in time")
        with stream_ended.connected_to(block, stage.sse):
            stage.sse.end_stream("news:1")
            eventually(
                lambda: stage.value(late, le="+Inf") > stage.value(late, le="0.25"), "one that is heard late"
            )


@pytest.mark.slow
def test_a_receiver_that_blocks_holds_up_the_loop_and_all_its_clients() -> None:
    with Stage("detached") as stage, stage.read("news:1") as client:

        def block(_: object, **news: Any) -> None:
            time.sleep(1.2)

        eventually(lambda: stage.value(LATE, le="+Inf"), "a look while nothing held it up")
        with client_disconnected.connected_to(block, stage.sse):
            stage.read("news:2").close()
            eventually(lambda: stage.value(LATE, le="+Inf") > stage.value(LATE, le="0.1"), "that it was late")
        stage.sse.send_event("news:1", "a")
        client.read(1)


@pytest.mark.slow
def test_a_call_that_holds_the_interpreter_holds_up_the_loop() -> None:
    with Stage("detached") as stage, stage.read("news:1"):
        eventually(lambda: stage.value(LATE, le="+Inf"), "a look while nothing held it up")
        count, seconds = 5_000_000, 0.0
        while seconds < 1.3:  # the loop looks once a second
            count = round(count * min(10.0, 1.5 / max(0.01, seconds))) if seconds else count
            began = time.thread_time()
            sum(range(count))  # one call into C, which lets go of nothing
            seconds = time.thread_time() - began
        eventually(lambda: stage.value(LATE, le="+Inf") > stage.value(LATE, le="0.25"), "that it was late")


# -- clients drop


def test_what_the_way_cuts_is_gone_and_its_life_is_in_a_bucket_and_in_the_log(
    delivery: str, log: Callable[[], list[str]]
) -> None:
    with Stage(delivery) as stage, Proxy(("127.0.0.1", stage.port)) as proxy:
        lives = {"delivery": delivery}
        with (
            stage.moves("streamy_connections_closed_total", reason="gone", **lives),
            stage.moves("streamy_connection_duration_seconds_bucket", le="60.0", **lives),
        ):
            client = RawClient(("127.0.0.1", proxy.port), "/stream?ids=news:1")
            client.read_head()
            client.read_opening()
            proxy.cut()
        client.close()
        line = "DEBUG streamy.delivery: a client of 'news:1' is connected no more after "
        end = f" s ({delivery}): gone"
        eventually(
            lambda: any(told.startswith(line) and told.endswith(end) for told in log()),
            "the line is in the log",
        )


def rows(page: Path, heading: str) -> set[str]:
    """What the first column of a page's table below a heading names."""
    section = page.read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    firsts = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return set(re.findall("`([^`]+)`", "".join(firsts)))


def test_each_reason_and_each_cause_has_its_row(docs: Path) -> None:
    page = docs / "how-to" / "clients-drop.md"
    assert rows(page, "Find out why they leave") == {"reason", *DisconnectReason, DIED}
    assert rows(page, "They find no place") == {"cause", *TurnAwayCause, DisconnectReason.BUSY}
    assert rows(page, "They have lost something") == {"cause", *GapCause}
    health = docs / "how-to" / "watch-health-and-signals.md"
    assert {*DisconnectReason, *GapCause} <= rows(health, "Signals")


# -- memory grows


@pytest.fixture
def traced() -> Iterator[Callable[[], float]]:
    """MiB that Python has allocated since."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[0] / 2**20
    tracemalloc.stop()


def test_a_window_is_bounded_and_goes_with_its_last_reader(traced: Callable[[], float]) -> None:
    broker = FaultyBroker(Kept(history=1, history_bytes=1))
    with StreamManager(broker=broker, window_bytes=2**21) as sse:
        held = traced()
        with sse.subscribe("news") as entries:
            for number in range(100):
                sse.send_event("news", f"{number:200000}")
                assert entries.next(DEADLINE) is not None
            assert (sse.health.streams, 2 < traced() - held < 4) == (1, True)
        assert sse.health.streams == 0
        eventually(lambda: traced() - held < 1, "it goes")


# -- sizing


def test_the_guide_shows_what_its_script_tells(load: Load) -> None:
    sizing = load("sizing")
    told = sizing.report(sizing.Load(), sizing.Costs())
    assert (EXAMPLES / "sizing.txt").read_text("utf-8") == f"{told}\n"


@pytest.mark.parametrize("clients", [1_000, 20_000, 200_000])
def test_a_worker_of_that_size_takes_its_clients_without_a_warning(
    load: Load, clients: int, monkeypatch: pytest.MonkeyPatch, log: Callable[[], list[str]]
) -> None:
    sizing = load("sizing")
    size = sizing.Size.of(sizing.Load(clients=clients), sizing.Costs())
    assert (size.workers - 1) * size.most_clients >= clients
    settings = Settings(max_connections=size.most_clients)
    server: Any = SimpleNamespace(connections=lambda: sizing.ACCEPTED, name="gunicorn")
    for module in (sharing, doctor):
        monkeypatch.setattr(module, "most_descriptors", lambda: size.descriptors)
    limits = Limits(most=settings.max_connections, per_key=None)
    sharing.share_descriptors(limits, server, settings)
    assert limits._most == size.most_clients
    assert log() == []
    gthread = Gunicorn(worker_class="gthread", worker_connections=sizing.ACCEPTED)
    assert list(doctor.descriptors(settings, size.most_clients, gthread)) == []


def test_a_process_has_as_many_connections_as_the_guide_counts(load: Load) -> None:
    sizing = load("sizing")
    size = sizing.Size.of(sizing.Load(others=0), sizing.Costs())
    for options in (RedisOptions(), SqlOptions()):
        assert size.connections == size.workers * (options.max_connections + 1)
