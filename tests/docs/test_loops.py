"""Where a publishing loop runs, and how often: each claim of the guide, on the servers that it is about."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from streamy_core import OLDEST, StreamManager
from streamy_core.testing.reading import eventually

from ..support.process import ServerProcess
from ..support.web_server import HttpServer, WebServer
from .conftest import EXAMPLES
from .reader import Reader

pytestmark = pytest.mark.slow

LOOPS: Final = EXAMPLES / "loops"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, object]:
    """The variables of every process: they share a file."""
    return {
        "FLASK_STREAMY_BROKER_URL": f"sqlite:///{tmp_path}/streams.db",
        "FLASK_LOOP_LOCK": tmp_path / "lock",
        "PYTHONDONTWRITEBYTECODE": 1,
    }


@pytest.fixture
def clock(environment: dict[str, object]) -> Iterator[Clock]:
    with StreamManager(broker=str(environment["FLASK_STREAMY_BROKER_URL"])) as sse:
        yield Clock(sse)


class Clock:
    """What all loops have published."""

    def __init__(self, sse: StreamManager) -> None:
        self._entries = sse.subscribe("clock", after=OLDEST)
        self.ticks: list[dict[str, Any]] = []

    def read(self) -> list[dict[str, Any]]:
        """All ticks so far."""
        while (entry := self._entries.next(timeout=0)) is not None:
            self.ticks.append(json.loads(entry.event.data))
        return self.ticks

    def by(self) -> Counter[Any]:
        """How many ticks are whose."""
        return Counter(tick["by"] for tick in self.read())

    def wait(self, more: int) -> None:
        """Until so many more have come."""
        before = len(self.read())
        eventually(lambda: len(self.read()) >= before + more, f"{more} more ticks")


@pytest.fixture
def serve(tmp_path: Path, environment: dict[str, object]) -> Iterator[Callable[..., WebServer]]:
    """Serves one of these examples by gunicorn, with two workers unless told otherwise."""
    with ExitStack() as to_stop:

        def serve(name: str, **server: Any) -> WebServer:
            options = {"workers": 2, "cwd": LOOPS, "environment": environment, **server}
            return to_stop.enter_context(WebServer(f"{name}:app", tmp_path / "log", **options).start())

        yield serve


class FlaskRun(HttpServer):
    """`flask run` of one of these examples, with these options."""

    def __init__(self, name: str, log: Path, environment: dict[str, object], *options: str) -> None:
        command = [sys.executable, "-m", "flask", "--app", name, "run", "--port", "0", *options]
        super().__init__(command, log, cwd=LOOPS, environment=environment)

    def processes(self) -> set[int]:
        """Those of `flask run`: itself, and the one that the reloader has started."""
        first = psutil.Process(self.process.pid)
        return {first.pid, *(child.pid for child in first.children(recursive=True))}


# -- a loop that starts at import


def test_at_import_each_worker_has_a_loop(serve: Callable[..., WebServer], clock: Clock) -> None:
    gunicorn = serve("at_import")
    eventually(lambda: set(clock.by()) >= set(gunicorn.children), "ticks of each worker")
    assert len(gunicorn.children) == 2


def test_at_import_the_reloader_has_one_loop_more(
    tmp_path: Path, environment: dict[str, object], clock: Clock
) -> None:
    with FlaskRun("at_import", tmp_path / "log", environment, "--reload").start() as server:
        eventually(lambda: len(clock.by()) >= 2, "ticks of two processes")
        assert set(clock.by()) <= server.processes()


def test_without_the_reloader_there_is_one(
    tmp_path: Path, environment: dict[str, object], clock: Clock
) -> None:
    with FlaskRun("at_import", tmp_path / "log", environment, "--no-reload").start() as server:
        clock.wait(5)
        assert set(clock.by()) == {server.process.pid}


def test_at_import_with_preload_the_loop_is_the_masters_and_no_workers(
    serve: Callable[..., WebServer], clock: Clock
) -> None:
    gunicorn = serve("at_import", options=["--preload"])
    clock.wait(5)
    assert set(clock.by()) == {gunicorn.process.pid}


def test_at_import_with_preload_no_client_hears_of_a_loop_by_memory(
    serve: Callable[..., WebServer], environment: dict[str, object]
) -> None:
    memory = {**environment, "FLASK_STREAMY_BROKER_URL": "memory://"}
    gunicorn = serve("at_import", options=["--preload"], workers=1, environment=memory)
    with Reader(f"http://127.0.0.1:{gunicorn.port}/stream") as reader:
        eventually(lambda: reader.last_event_id, "the opening")
        assert not reader.hears_within(1.0)


# -- a loop that a view starts


def test_in_a_view_each_request_starts_a_loop(serve: Callable[..., WebServer], clock: Clock) -> None:
    gunicorn = serve("in_a_view", workers=1)
    with ExitStack() as readers:
        for count in (1, 2, 3):
            readers.enter_context(Reader(f"http://127.0.0.1:{gunicorn.port}/stream"))
            eventually(lambda count=count: len(clock.by()) == count, f"ticks of {count} loops")
    clock.wait(9)
    assert len(clock.by()) == 3  # though nobody reads any more


# -- loops that publish once


def test_a_process_of_its_own_publishes_for_all_workers(
    serve: Callable[..., WebServer], clock: Clock, tmp_path: Path, environment: dict[str, object]
) -> None:
    gunicorn = serve("command")
    command = [sys.executable, "-m", "flask", "--app", "command", "clock"]
    with Loop(command, tmp_path / "loop.log", cwd=LOOPS, environment=environment) as loop:
        loop.launch()
        with Reader(f"http://127.0.0.1:{gunicorn.port}/stream") as reader:
            assert {data["by"] for _, data in reader.events(5)} == {loop.process.pid}
        assert set(clock.by()) == {loop.process.pid}


class Loop(ServerProcess):
    """A process that answers nobody."""


def test_with_a_key_what_each_worker_publishes_is_stored_once(
    serve: Callable[..., WebServer], clock: Clock
) -> None:
    serve("by_key")
    clock.wait(3)
    times = [tick["time"] for tick in clock.read()]
    assert times == sorted(set(times))


def test_with_a_lock_one_worker_runs_the_loop_and_another_when_that_one_is_killed(
    serve: Callable[..., WebServer], clock: Clock
) -> None:
    gunicorn = serve("with_lock", options=["--config", "gunicorn_with_lock.py"])
    clock.wait(5)
    (first,) = clock.by()
    assert first in gunicorn.children
    os.kill(first, signal.SIGKILL)
    eventually(lambda: len(clock.by()) == 2, "ticks of another worker")
    clock.wait(5)
    (second,) = set(clock.by()) - {first}
    assert second in gunicorn.children


def test_with_a_lock_and_preload_the_loop_is_a_workers(serve: Callable[..., WebServer], clock: Clock) -> None:
    gunicorn = serve("with_lock", options=["--config", "gunicorn_with_lock.py", "--preload"])
    clock.wait(5)
    (only,) = clock.by()
    assert only in gunicorn.children
