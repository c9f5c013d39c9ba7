"""`/ready` and `/live` of real workers, as who watches them asks."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from streamy_core.testing.reading import eventually

from ..support.app_server import AppServer
from ..support.web_server import Pair

pytestmark = pytest.mark.slow

APP = f"{__package__}.health_app:create_app()"
DETACHED = Pair("gthread", "detached", threads=4)
PAIRS = [
    DETACHED,
    Pair("gthread", "wsgi", threads=4),
    Pair("sync", "detached", threads=1),
    Pair("gevent", "wsgi"),
]
SEEN_WITHIN = 5.0


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AppServer]:
    made = AppServer(tmp_path / "log", getattr(request, "param", DETACHED), app=APP)
    made.start()
    yield made
    made.stop()


def asked(server: AppServer, question: str = "ready") -> tuple[int, list[str]]:
    """The status, and what is wrong."""
    reply = server.request("GET", f"/streamy/{question}")
    answer: dict[str, Any] = json.loads(reply.body)
    return reply.status, [trouble["what"] for trouble in answer["wrong"]]


@pytest.mark.parametrize("server", PAIRS, indirect=True, ids=str)
def test_an_idle_worker_is_ready_from_its_first_answer_on_and_answers_at_once(server: AppServer) -> None:
    assert asked(server) == (200, [])
    began = time.monotonic()
    for _ in range(10):
        assert asked(server, "live") == asked(server, "ready") == (200, [])
    assert (time.monotonic() - began) / 20 < 0.1
    assert server.health().clients == 0
    assert server.health().bell_seconds is not None


def test_a_loop_that_stands_still_is_told_within_five_seconds_and_so_is_that_it_turns_again(
    server: AppServer,
) -> None:
    with server.connect("hold"):
        began = time.monotonic()
        eventually(lambda: asked(server) == (503, ["loop"]), "it says so", within=SEEN_WITHIN)
        assert time.monotonic() - began > 1.0, "a loop that is busy for a moment is none that stands still"
        assert asked(server, "live") == (200, [])
        server.request("POST", "/go-on")
        eventually(lambda: asked(server) == (200, []), "it turns again")


def test_a_worker_that_is_told_to_stop_is_ready_no_more_at_once(server: AppServer) -> None:
    assert asked(server) == (200, [])
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(server.request, "GET", "/ready-while-stopping")
        eventually(lambda: "looking until it stops" in server.log(), "it looks")
        server.signal(signal.SIGTERM)
        answer = json.loads(looking.result().body)
    assert (answer["ready"], [trouble["what"] for trouble in answer["wrong"]]) == (False, ["stopping"])
