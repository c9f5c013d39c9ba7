"""Where a key lives: on the one server (or the primary that sentinels name), or on a cluster's node."""

from __future__ import annotations

import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import NoPermissionError, RedisClusterException
from redis.exceptions import TimeoutError as NoAnswer
from redis.retry import Retry
from redis.sentinel import Sentinel

from .address import Address
from .options import Options

Node = Any
"""A redis.Redis for one server. Its type has parameters that say nothing here."""


_OTHER_NODES: Final = 5
"""How many other nodes are asked where one is away."""


class Servers(ABC):
    """Any thread. All of it may raise RedisError, but for `close`."""

    clustered: bool = False
    """Whether keys are spread over several servers."""

    most_connections: int = 2**31
    """As many as may be in use at once, where that is somebody else's to say."""

    sharded: bool = False
    """Whether bells are rung on the channel's own node. Known when `nodes` has been asked for."""

    @property
    def publish(self) -> str:
        """The command that rings a bell."""
        return "SPUBLISH" if self.sharded else "PUBLISH"

    @abstractmethod
    def node_of(self, key: str) -> Node:
        """The server that holds this key, or this channel."""

    @abstractmethod
    def nodes(self) -> Iterable[Node]:
        """All servers that hold keys."""

    def name_at(self, node: Node) -> str | None:
        """The name of a stream that nobody has, and that this server would hold; None if it holds no keys."""
        return unused_name()

    @abstractmethod
    def rediscover(self) -> None:
        """Something was not where it was looked for: learn where it is now, if it may move."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections, unless they are somebody else's."""


def open_servers(address: Address, options: Options) -> Servers:
    """What the options' `client` or the address says. Connects to nothing yet."""
    client = options.client
    if isinstance(client, RedisCluster):
        return Cluster(lambda: client, owned=False)
    if client is not None:
        return OneServer(client, owned=False)
    # redis-py repeats a command whose answer was lost: whether to is for the caller's policy to say.
    settings: dict[str, Any] = {
        **options.for_connections(),
        "socket_timeout": options.timeout,
        "socket_connect_timeout": options.timeout,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": options.max_connections + 1,  # one more, to ask how the server is
        "protocol": 2,
    }
    if address.tls:
        settings["ssl"] = True
    if address.kind == "cluster":
        return Cluster(lambda: _cluster(address, settings))
    if address.kind == "sentinel":
        return _primary(address, settings, options)
    if address.path:
        return OneServer(redis.Redis(unix_socket_path=address.path, **settings))
    ((host, port),) = address.hosts
    return OneServer(redis.Redis(host=host, port=port, **settings))


def _cluster(address: Address, settings: dict[str, Any]) -> Any:
    nodes = [ClusterNode(host, port) for host, port in address.hosts]  # type: ignore[no-untyped-call]
    # Of a cluster this is for what redis-py asks by itself when it connects: of a node that may be away.
    settings = {**settings, "retry": Retry(NoBackoff(), _OTHER_NODES)}
    return RedisCluster(startup_nodes=nodes, require_full_coverage=False, **settings)


def _primary(address: Address, settings: dict[str, Any], options: Options) -> Servers:
    login = {"username": options.sentinel_username, "password": options.sentinel_password}
    for_sentinels: dict[str, Any] = {**settings, **login}
    for_sentinels.pop("db", None)
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
        address.hosts, sentinel_kwargs=for_sentinels, **settings
    )
    return OneServer(sentinel.master_for(address.service), others=sentinel.sentinels)


class OneServer(Servers):
    """All keys on one server."""

    def __init__(self, client: Node, *, owned: bool = True, others: Sequence[Node] = ()) -> None:
        self._client = client
        self._owned = owned
        self._others = others  # that have to be closed with it
        if not owned:
            self.most_connections: int = client.connection_pool.max_connections

    def node_of(self, key: str) -> Node:
        return self._client

    def nodes(self) -> Iterable[Node]:
        return [self._client]

    def rediscover(self) -> None:
        pass

    def close(self) -> None:
        if self._owned:
            for client in (self._client, *self._others):
                client.close()


_SHARDED_SINCE: Final = 7
_TRIES: Final = 1_000
"""After which a node is taken to have no slots. One with a hundredth of them is missed 4 times in 100,000."""


class Cluster(Servers):
    """Keys by their slots. The client is made when it is first needed, because that connects."""

    clustered: bool = True

    def __init__(self, connect: Callable[[], Any], *, owned: bool = True) -> None:
        self._connect = connect
        self._owned = owned
        self._lock = threading.Lock()
        self._client: Any = None

    def node_of(self, key: str) -> Node:
        with _as_redis_errors():
            client = self._connected()
            return client.get_redis_connection(client.get_node_from_key(key))

    def nodes(self) -> Iterable[Node]:
        with _as_redis_errors():
            client = self._connected()
            return [client.get_redis_connection(node) for node in client.get_primaries()]

    def name_at(self, node: Node) -> str | None:
        for _ in range(_TRIES):
            if self.node_of(f"{{{(name := unused_name())}}}") is node:
                return name
        return None

    def rediscover(self) -> None:
        if self._client is not None:
            with _as_redis_errors():
                self._client.nodes_manager.initialize()

    def close(self) -> None:
        if self._owned and self._client is not None:
            self._client.close()

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                client = self._connect()
                try:
                    info = _info_of_any(client)
                    version = str(info.get("valkey_version") or info["redis_version"])
                    self.sharded: bool = int(version.split(".")[0]) >= _SHARDED_SINCE
                except NoPermissionError:
                    pass  # bells that go to all nodes can be heard in any version
                except BaseException:
                    if self._owned:
                        client.close()
                    raise
                self._client = client
            return self._client


def _info_of_any(client: Any) -> Any:
    """INFO of the first primary that can be reached."""
    fault: Exception = NoConnection("the cluster has no primaries")
    for node in client.get_primaries():
        try:
            return client.get_redis_connection(node).info("server")
        except (NoConnection, NoAnswer) as error:
            fault = error
    raise fault


def unused_name() -> str:
    """The name of a stream that nobody has."""
    return f"streamy.probe.{secrets.token_hex(8)}"


@contextmanager
def _as_redis_errors() -> Generator[None]:
    """What redis-py raises where it finds no cluster isn't one of its RedisErrors."""
    try:
        yield
    except RedisClusterException as error:
        raise NoConnection(f"{type(error).__name__}: {error}") from error
