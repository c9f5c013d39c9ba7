"""Jobs in workers of Celery, RQ, Huey and Dramatiq, as the guide has them: real ones, which are killed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from streamy_core.testing.reading import DEADLINE, eventually
from tests.backends.redis.servers import HOW_TO_GET, Server, binary

from ..support.process import ServerProcess
from ..support.requirements import go_without
from ..support.web_server import WebServer
from .conftest import EXAMPLES
from .reader import Reader, ask

pytestmark = pytest.mark.slow

JOBS: Final = EXAMPLES / "jobs"
LEASE: Final = 3.0
"""Seconds, as the examples say."""


class Worker(ServerProcess):
    """What works for a library, as the guide starts it. It is there once a job is done."""


class Library(NamedTuple):
    """command: of its worker. in_sqlite: whether its queue is in a file, and not in Redis."""

    command: tuple[str, ...]
    in_sqlite: bool = False


LIBRARIES: Final = {
    "celery": Library(("celery", "-A", "with_celery:celery", "worker", "--concurrency", "1")),
    "rq": Library(("rq", "worker", "--url", "{redis}")),
    "huey": Library(("huey_consumer", "with_huey.huey", "-k", "process"), in_sqlite=True),
    "dramatiq": Library(("dramatiq", "with_dramatiq", "--processes", "1", "--threads", "1")),
}


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def environment(library: str, tmp_path: Path) -> Iterator[dict[str, object]]:
    """The variables of an app and its workers: they share a server, or a file."""
    common = {"PYTHONDONTWRITEBYTECODE": 1, "PYTHONUNBUFFERED": 1}
    if LIBRARIES[library].in_sqlite:
        streams = f"sqlite:///{tmp_path}/streams.db?create_tables=true"
        yield common | {"FLASK_STREAMY_BROKER_URL": streams, "HUEY_FILE": tmp_path / "huey.db"}
        return
    program = binary("redis") or binary("valkey") or go_without(f"no server: {HOW_TO_GET}")
    server = Server(program, tmp_path / "redis").start()
    names = ("FLASK_STREAMY_BROKER_URL", "CELERY_BROKER_URL", "REDIS_URL")
    yield common | dict.fromkeys(names, server.url)
    server.stop()


@pytest.fixture
def worker(library: str, environment: dict[str, object], tmp_path: Path) -> Iterator[Worker]:
    program, *arguments = LIBRARIES[library].command
    command = [Path(sys.executable).with_name(program), *arguments]
    filled = [str(part).format(redis=environment.get("REDIS_URL")) for part in command]
    with Worker(filled, tmp_path / "worker.log", cwd=JOBS, environment=environment) as worker:
        worker.launch()
        yield worker


@pytest.fixture
def begin(
    library: str, worker: Worker, environment: dict[str, object], tmp_path: Path
) -> Iterator[Callable[[int], tuple[str, Reader]]]:
    """Begins a job of so many rows: the URL of its stream, and a reader."""
    options = {"cwd": JOBS, "environment": environment}
    with ExitStack() as to_stop:
        server = to_stop.enter_context(WebServer(f"with_{library}:app", tmp_path / "log", **options).start())
        address = f"http://127.0.0.1:{server.port}"

        def begin(rows: int) -> tuple[str, Reader]:
            url = address + json.loads(ask(f"{address}/jobs/{rows}", "POST"))["stream"]
            return url, to_stop.enter_context(Reader(url))

        yield begin


def end_of(reader: Reader, within: float = DEADLINE) -> str:
    eventually(lambda: reader.end, "the end of a job", within=within)
    return str(reader.end["outcome"])


def test_a_job_tells_how_far_it_is_is_stopped_and_when_its_worker_is_killed_is_lost(
    begin: Callable[[int], tuple[str, Reader]], worker: Worker
) -> None:
    _, done = begin(4)
    assert end_of(done) == "done"
    assert [kind for kind, _ in done.heard][-1] == "progress"
    assert json.loads(done.heard[-1][1]) == {"done": 4, "total": 4, "note": None}

    url, stopped = begin(10_000)
    stopped.events(1)
    assert ask(url, "DELETE") == ""
    assert end_of(stopped) == "stopped"

    _, lost = begin(10_000)
    lost.events(1)
    worker.kill()
    assert end_of(lost, within=LEASE + 3) == "lost"
