"""Apps that a factory makes for each test, and nobody closes: on no backend is anything left of them.

`TEST_APPS=200` asks for more.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from flask import Flask

from streamy_core import StreamManager
from streamy_core.testing.reading import eventually

from .redis.conftest import program
from .redis.servers import Server as RedisServer
from .sql.conftest import server_in

pytestmark = pytest.mark.slow

APPS: Final = int(os.environ.get("TEST_APPS", "120"))
"""More than PostgreSQL has connections for by default."""


class Backend(NamedTuple):
    """connections: how many its server has."""

    url: str
    connections: Callable[[], int]


@pytest.fixture(params=["memory", "sqlite", "valkey", "postgresql"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    with ExitStack() as to_stop:
        if request.param == "memory":
            yield Backend("memory://", lambda: 0)
        elif request.param == "sqlite":
            yield Backend(f"sqlite:///{tmp_path}/streams.db", lambda: 0)
        elif request.param == "valkey":
            redis = RedisServer(program("valkey"), tmp_path).start()
            to_stop.callback(redis.stop)
            yield Backend(redis.url, lambda: len(redis.client.client_list()))
        else:
            database = server_in("postgresql", tmp_path).start()
            to_stop.callback(database.stop)
            yield Backend(database.url, lambda: len(database.execute("SELECT pid FROM pg_stat_activity")))


def test_nothing_is_left_of_apps_that_are_gone(backend: Backend) -> None:
    sse = StreamManager()

    def held() -> tuple[int, int, int]:
        ours = sum(thread.name.startswith("streamy") for thread in threading.enumerate())
        return ours, len(list(Path("/proc/self/fd").iterdir())), backend.connections()

    before = held()
    for number in range(APPS):
        app = Flask(__name__)
        app.config["STREAMY_BROKER_URL"] = backend.url
        sse.init_app(app)
        with app.app_context(), sse.subscribe(f"news:{number}") as entries:
            sse.send_event(f"news:{number}", "x")
            assert next(entries).event.data == "x"
    del app, entries
    gc.collect()
    eventually(lambda: all(now <= then for now, then in zip(held(), before, strict=True)), "all given back")
    sse.close()
