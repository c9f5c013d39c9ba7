"""One server of each kind for a whole run of the tests; each test has tables of its own."""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine, create_engine, make_url

from streamy_backends.sql import from_url
from streamy_backends.sql.options import DRIVERS
from streamy_core import StreamManager

from ...support.process import started_once
from ...support.requirements import go_without
from ..conftest import NewBroker, NewManager
from .counting import CONNECTIONS, Counting
from .keeping import NEVER_BY_ITSELF, Tables, Time
from .servers import HOW_TO_GET, MYSQL_ROOT, Mariadb, Mysql, Postgresql, Server, programs
from .shop import WAYS, Shop, Way

SERVERS: Final[dict[str, type[Server]]] = {"postgresql": Postgresql, "mariadb": Mariadb}
KINDS: Final = ("sqlite", *SERVERS, *(["mysql"] if MYSQL_ROOT else []))

OTHER_DRIVERS: Final = {
    "postgresql+psycopg2": "psycopg2",
    "mysql+mysqldb": "MySQLdb",
    "mariadb+mysqldb": "MySQLdb",
}
"""URLs' beginnings that name a driver that isn't taken by itself, and its module."""

_prefixes = itertools.count()

OwnServer = Callable[..., Server]
NewEngine = Callable[..., Engine]


def server_in(kind: str, folder: Path, *settings: str) -> Server:
    """A server of this kind, not started yet."""
    found = programs(kind) or go_without(f"{kind} is missing: {HOW_TO_GET[kind]}")
    return {**SERVERS, "mysql": Mysql}[kind](*found, folder, *settings)


@pytest.fixture
def prefix() -> str:
    """What this test's tables begin with."""
    return f"t{os.getpid()}_{next(_prefixes)}_"


@pytest.fixture
def shared(
    shared_servers: dict[str, Server], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Server]:
    """A server that other tests use, too: "postgresql", "mariadb"."""

    def start(kind: str) -> Server:
        return server_in(kind, tmp_path_factory.mktemp(kind)).start()

    return lambda kind: started_once(shared_servers, kind, lambda: start(kind))


@pytest.fixture
def url_of(shared: Callable[[str], Server], tmp_path: Path) -> Callable[[str], str]:
    """The URL of a database of this kind: "sqlite", or a server's."""
    return lambda kind: f"sqlite:///{tmp_path}/streams.db" if kind == "sqlite" else shared(kind).url


def by_driver(scheme: str, url_of: Callable[[str], str]) -> str:
    """The URL of a database by another driver than that which is taken by itself."""
    module = OTHER_DRIVERS[scheme]
    if importlib.util.find_spec(module) is None:
        go_without(
            f"{module} is missing: pip install {'mysqlclient' if module == 'MySQLdb' else 'psycopg2-binary'}"
        )
    kind = "postgresql" if scheme.startswith("postgresql") else "mariadb"
    return url_of(kind).replace(kind, scheme, 1)


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, url_of: Callable[[str], str]) -> str:
    """Of each kind of database in turn; `by_each_driver`: and by each driver."""
    found = request.param
    return by_driver(found, url_of) if found in OTHER_DRIVERS else url_of(found)


by_each_driver = pytest.mark.parametrize("url", [*KINDS, *OTHER_DRIVERS], indirect=True)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    """Each way in which an app may run a transaction, in turn."""
    return WAYS[request.param]


@pytest.fixture(params=CONNECTIONS)
def counting(request: pytest.FixtureRequest, shared: Callable[[str], Server], prefix: str) -> Counting:
    return Counting(request.param, shared(request.param), prefix)


@pytest.fixture
def new_broker(prefix: str) -> Iterator[NewBroker]:
    """Makes brokers that share their logs, by URL and options; closed in the end."""
    with ExitStack() as to_close:
        yield lambda url, **options: to_close.enter_context(
            from_url(url, {"table_prefix": prefix, **options})
        )


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[OwnServer]:
    """Makes servers of the test's own, by kind and settings; not started yet, and stopped in the end."""
    with ExitStack() as to_stop:

        def make(kind: str, *settings: str) -> Server:
            server = server_in(kind, tmp_path / f"{kind}-{next(_prefixes)}", *settings)
            to_stop.callback(server.stop)
            return server

        yield make


@pytest.fixture
def new_engine() -> Iterator[NewEngine]:
    """Makes engines as an app has them, by a broker's URL and SQLAlchemy's settings; freed in the end."""
    with ExitStack() as to_free:

        def make(url: str, **settings: Any) -> Engine:
            engine = create_engine(with_driver(url), **settings)
            to_free.callback(engine.dispose)
            return engine

        yield make


@pytest.fixture
def engine(new_engine: NewEngine, url: str) -> Engine:
    """An app's own, with nothing set."""
    return new_engine(url)


@pytest.fixture
def shop(engine: Engine, prefix: str) -> Shop:
    return Shop(engine, prefix)


@pytest.fixture
def sse(new_manager: NewManager, url: str) -> StreamManager:
    return new_manager(url)


@pytest.fixture
def other(new_manager: NewManager, url: str) -> StreamManager:
    """Of the same streams, by a broker of its own."""
    return new_manager(url)


def with_driver(url: str) -> str:
    """A broker's URL as SQLAlchemy takes it."""
    plain = make_url(url)
    driver = DRIVERS.get(plain.drivername, plain.drivername)
    return plain.set(drivername=driver).render_as_string(hide_password=False)


@pytest.fixture
def tables(url: str, prefix: str, new_broker: NewBroker) -> Tables:
    """The tables of a broker that doesn't tidy up by itself."""
    return Tables(new_broker(url, **NEVER_BY_ITSELF), prefix)


@pytest.fixture
def time() -> Time:
    return Time()
