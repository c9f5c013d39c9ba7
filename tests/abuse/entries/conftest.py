"""A backend of each kind, which others write to as well: one server of each for a whole run of the tests."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streamy_core import StreamManager

from ...backends.redis.conftest import program
from ...backends.redis.servers import Cluster
from ...backends.redis.servers import Server as RedisServer
from ...backends.sql.conftest import server_in
from ...support.process import stopped_in_the_end
from .foreign import ForeignRedis, ForeignSql

_names = itertools.count()

NewManager = Callable[..., StreamManager]


@pytest.fixture(scope="session")
def running() -> Iterator[dict[str, Any]]:
    with stopped_in_the_end() as started:
        yield started


@pytest.fixture
def server_of(running: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """A server of this kind, started when a test first asks for it."""

    def give(kind: str) -> Any:
        if kind not in running:
            folder = tmp_path_factory.mktemp(kind)
            if kind == "redis":
                running[kind] = RedisServer(program("redis"), folder).start()
            elif kind == "cluster":
                running[kind] = Cluster(program("valkey"), folder)
            else:
                running[kind] = server_in(kind, folder).start()
        return running[kind]

    return give


@pytest.fixture
def prefix() -> str:
    return f"abuse{os.getpid()}_{next(_names)}_"


@pytest.fixture(params=["redis", "cluster"])
def foreign_redis(
    request: pytest.FixtureRequest, server_of: Callable[[str], Any], prefix: str
) -> Iterator[ForeignRedis]:
    with ForeignRedis(server_of(request.param), prefix) as foreign:
        yield foreign


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def foreign_sql(
    request: pytest.FixtureRequest, server_of: Callable[[str], Any], prefix: str, tmp_path: Any
) -> Iterator[ForeignSql]:
    kind = request.param
    url = f"sqlite:///{tmp_path}/streams.db" if kind == "sqlite" else server_of(kind).url
    with ForeignSql(kind, url, prefix) as foreign:
        yield foreign
