"""One server of each kind for a whole run of the tests; each test has a prefix of its own."""

from __future__ import annotations

import gc
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
import redis

from streamy_backends.redis import from_url
from streamy_core.broker import Broker, ListsStreams, StreamInfo
from streamy_core.testing.reading import DEADLINE, data_of, events, read_all

from ...support.process import started_once
from ...support.requirements import go_without
from ..conftest import NewBroker
from .servers import HOW_TO_GET, Cluster, SentinelGroup, Server, binary

SECRET: Final = "p@ss:/?#[]%&=+ ü"
"""Every character that means something in a URL."""

KINDS: Final = ("redis", "valkey")
ALL_KINDS: Final = (*KINDS, "newer redis")

_prefixes = itertools.count()

OwnServer = Callable[..., Server]
MakeClient = Callable[..., Any]

THREADS: Final = 16
EACH: Final = 25


def program(kind: str) -> str:
    return binary(kind) or go_without(f"{kind}-server is missing: {HOW_TO_GET}")


@pytest.fixture
def prefix() -> str:
    return f"test-{os.getpid()}-{next(_prefixes)}"


@pytest.fixture
def shared(shared_servers: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """A server of this kind that other tests use, too: "redis", "valkey", "sentinel", "cluster"."""
    makers: dict[str, Callable[[Any], Any]] = {
        "redis": lambda folder: Server(program("redis"), folder).start(),
        "valkey": lambda folder: Server(program("valkey"), folder).start(),
        "newer redis": lambda folder: Server(program("newer redis"), folder).start(),
        "sentinel": lambda folder: SentinelGroup(program("valkey"), folder),
        "cluster": lambda folder: Cluster(program("valkey"), folder),
        "old cluster": lambda folder: Cluster(program("redis"), folder),
    }

    def start(kind: str) -> Any:
        return makers[kind](tmp_path_factory.mktemp(kind.replace(" ", "-")))

    return lambda kind: started_once(shared_servers, kind, lambda: start(kind))


@pytest.fixture
def new_broker(prefix: str) -> Iterator[NewBroker]:
    """Makes brokers that share a log, by URL and options; closed in the end."""
    made: list[Broker] = []

    def make(url: str, **options: Any) -> Broker:
        made.append(from_url(url, {"prefix": prefix, **options}))
        return made[-1]

    yield make
    for broker in made:
        broker.close()


@pytest.fixture
def make_client(shared: Callable[[str], Any]) -> Iterator[MakeClient]:
    """Makes a client as an app has it: of a server or a cluster, with these settings."""
    made = []

    def make(kind: str, **settings: Any) -> Any:
        server = shared(kind)
        if isinstance(server, Cluster):
            made.append(redis.RedisCluster("127.0.0.1", server.nodes[0].port, **settings))
        else:
            made.append(redis.Redis("127.0.0.1", server.port, **settings))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[OwnServer]:
    """Makes servers of the test's own, with these settings; not started yet, and stopped in the end."""
    made: list[Server] = []

    def make(*settings: str, kind: str = "valkey") -> Server:
        made.append(Server(program(kind), tmp_path / f"server-{len(made)}", *settings))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def server(request: pytest.FixtureRequest, shared: Callable[[str], Any]) -> Any:
    """A Valkey, if the test doesn't name another kind: see `on`."""
    return shared(getattr(request, "param", "valkey"))


def on(*kinds: str) -> pytest.MarkDecorator:
    """The fixture `server` is one of each of these kinds."""
    return pytest.mark.parametrize("server", kinds, indirect=True)


@pytest.fixture
def cluster(shared: Callable[[str], Any]) -> Cluster:
    found: Cluster = shared("cluster")
    return found


@pytest.fixture
def sentinel(shared: Callable[[str], Any]) -> SentinelGroup:
    found: SentinelGroup = shared("sentinel")
    return found


@pytest.fixture
def count_before() -> Callable[[], int]:
    """How many are open, but for those that other tests have left to the garbage collector."""

    def count() -> int:
        gc.collect()
        return descriptors()

    return count


def publishes(broker: Broker) -> bool:
    """Whether what is published by it can be read by it."""
    broker.append("news", events("hello"))
    return data_of(read_all(broker, "news")) == ["hello"]


def address(server: Server) -> str:
    return f"127.0.0.1:{server.port}"


def descriptors() -> int:
    """How many are open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def connections(server: Server, name: str) -> list[dict[str, str]]:
    """What the server knows of the connections that have this name."""
    return [line for line in server.client.client_list() if line["name"] == name]


def listening(server: Server, name: str) -> list[int]:
    """To how many streams each connection of this name listens that listens to any.

    Each has one channel more, by which it sees that it hears.
    """
    found = [int(line["sub"]) + int(line.get("ssub", 0)) - 1 for line in connections(server, name)]
    return [count for count in found if count > 0]


def publish_at_once(publish: Callable[[int, int], object]) -> None:
    """Call `publish(who, n)` in so many threads, so many times in each, all beginning together."""
    begin = threading.Barrier(THREADS)

    def run(who: int) -> None:
        begin.wait(DEADLINE)
        for n in range(EACH):
            publish(who, n)

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(run, who) for who in range(THREADS)]:
            done.result()


def kept(broker: Broker, name: str = "news") -> list[str]:
    return data_of(read_all(broker, name))


def listed(broker: Broker) -> dict[str, StreamInfo]:
    assert isinstance(broker, ListsStreams)
    return {info.stream_id: info for info in broker.streams()}
