"""Somebody else, who may write to the same backend, and does so in their own way."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Self

import redis

from streamy_backends.redis import from_url as redis_from_url
from streamy_backends.redis.keys import Keys
from streamy_backends.redis.scripts import Script
from streamy_backends.sql import from_url as sql_from_url
from streamy_core import StreamManager
from streamy_core.broker import Broker

from ...backends.redis.servers import Cluster
from ...backends.sql.keeping import Tables


class Foreign(ExitStack):
    """See the module. kind: of the backend. broker: ours, of the same logs."""

    kind: str
    broker: Broker

    def __enter__(self) -> Self:
        return self

    def new_broker(self) -> Broker:
        """Another of ours."""
        raise NotImplementedError

    def manager(self, **settings: Any) -> StreamManager:
        """One of ours, over a broker of its own."""
        return self.enter_context(StreamManager(broker=self.new_broker(), **settings))


class ForeignRedis(Foreign):
    """On a Redis, or on a cluster of Valkeys."""

    def __init__(self, server: Any, prefix: str) -> None:
        super().__init__()
        self.kind = "cluster" if isinstance(server, Cluster) else "redis"
        self._url = server.url
        port = server.nodes[0].port if isinstance(server, Cluster) else server.port
        make = redis.RedisCluster if isinstance(server, Cluster) else redis.Redis
        self.client: Any = make(host="127.0.0.1", port=port)
        self.callback(self.client.close)
        self.keys = Keys(prefix)
        self.broker = self.new_broker()

    def new_broker(self) -> Broker:
        return self.enter_context(redis_from_url(self._url, {"prefix": self.keys.prefix}))

    def append(self, stream_id: str, *texts: bytes) -> str:
        """By our own script: meta and data in turn. Returns the last entry's sequence and nonce."""
        settings = f"1000 86400000 86400000 300000 {'S' if self.kind == 'cluster' else ''}PUBLISH foreign"
        keys = self.keys.for_append(stream_id, "foreign")
        self.client.delete(keys[2])
        self.client.eval(Script("append").text, 3, *keys, settings, "abcde", *texts)
        return self.last_id(stream_id)

    def add(self, stream_id: str, fields: dict[bytes, bytes]) -> str:
        """By hand: an entry of these fields, which the state counts. Returns its id."""
        state, log = self.keys.for_read(stream_id)
        words = self.client.get(state).decode().split(" ")
        words[1] = str(int(words[1]) + 1)
        self.client.xadd(log, fields, id=f"{words[1]}-{2**41}")
        self.client.set(state, " ".join(words))
        return self.last_id(stream_id)

    def last_id(self, stream_id: str) -> str:
        return self.broker.tail([stream_id])[stream_id]


class ForeignSql(Foreign):
    """In a database."""

    def __init__(self, kind: str, url: str, prefix: str) -> None:
        super().__init__()
        self.kind = kind
        self._url = url
        self._prefix = prefix
        self.broker = self.new_broker()
        self._tables = Tables(self.broker, prefix)

    def new_broker(self) -> Broker:
        return self.enter_context(sql_from_url(self._url, {"table_prefix": self._prefix}))

    def do(self, sql: str, *values: Any) -> list[Any]:
        """Have it done: `{streams}` is a table, and ? a value. Returns the rows."""
        return self._tables.do(sql, *values)

    def named(self, stream_id: str) -> Any:
        """The stream's name as the tables have it."""
        return stream_id.encode() if self.kind == "mariadb" else stream_id

    def append(self, stream_id: str, *, then: str = "", **columns: Any) -> str:
        """A row of these columns, which the stream's row counts. Returns its id.

        then: is done before it counts.
        """
        name = self.named(stream_id)
        ((head,),) = self.do("SELECT head FROM {streams} WHERE stream_id = ?", name)
        row = {"nonce": "abc", "stored_at": 2**41, "name": None, "retry": None, "data": "evil", **columns}
        self.do(
            f"INSERT INTO {{entries}} (stream_id, sequence, {', '.join(row)}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            name,
            head + 1,
            *row.values(),
        )
        if then:
            self.do(then)
        self.do("UPDATE {streams} SET head = head + 1 WHERE stream_id = ?", name)
        return self.broker.tail([stream_id])[stream_id]
