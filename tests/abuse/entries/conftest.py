"""A backend of each kind, which others write to as well: one server of each for a whole run of the tests."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streamy_core import StreamManager

from ...backends.conftest import shared_servers
from ...backends.redis.conftest import program
from ...backends.redis.servers import Cluster
from ...backends.redis.servers import Server as RedisServer
from ...backends.sql.conftest import server_in
from ...support.process import started_once
from .foreign import ForeignRedis, ForeignSql

__all__ = ["shared_servers"]

_names = itertools.count()

NewManager = Callable[..., StreamManager]


@pytest.fixture
def server_of(
    shared_servers: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Any]:
    """A server of this kind, started when a test first asks for it."""

    def start(kind: str) -> Any:
        folder = tmp_path_factory.mktemp(kind)
        if kind == "redis":
            return RedisServer(program("redis"), folder).start()
        if kind == "cluster":
            return Cluster(program("valkey"), folder)
        return server_in(kind, folder).start()

    return lambda kind: started_once(shared_servers, kind, lambda: start(kind))


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
