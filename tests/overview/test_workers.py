"""What any of several workers says of all of them, on a real server."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from streamy_core.testing.reading import eventually

from ..support.app_server import GTHREAD, AppServer

pytestmark = pytest.mark.slow

APP: Final = "tests.observers.metrics.app:create_app()"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AppServer]:
    made = AppServer(
        tmp_path / "log",
        GTHREAD,
        app=APP,
        workers=2,
        options=("--preload", "--graceful-timeout", "2"),
        settings={
            "STREAMY_BROKER_URL": f"sqlite:///{tmp_path / 'streams.db'}",
            "STREAMY_OVERVIEW": "loopback",
        },
    )
    with made.start():
        yield made


def test_both_workers_are_told_of_by_either_and_one_that_was_killed_no_more(server: AppServer) -> None:
    held: Counter[int] = Counter()
    with ExitStack() as stack:

        def connect() -> bool:
            client = stack.enter_context(server.connect("room:1"))
            client.read_head()
            held[int(client.header("X-Worker")[0])] += 1
            return len(held) == 2

        eventually(connect, "both have clients")
        for _ in range(2):  # whoever answers
            eventually(lambda: clients(server) == held, "both tell of their clients")
        killed = max(held)
        os.kill(killed, signal.SIGKILL)
        for _ in range(4):
            eventually(lambda: killed not in clients(server), "it is gone", within=15)
        assert clients(server)[min(held)] == held[min(held)]


def clients(server: AppServer) -> dict[int, int]:
    """How many each process has, by its process id, as far as any worker knows."""
    processes: list[dict[str, Any]] = json.loads(server.ask("/streamy/overview.json"))["processes"]
    return {process["pid"]: sum(process["clients"].values()) for process in processes}
