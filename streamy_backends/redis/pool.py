"""Connections for commands, which are asked and answered one after another."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final

from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError, ResponseError

from .servers import Node

Command = tuple[Any, ...]

_FRESH: Final = 1.0
"""Seconds after which a connection is looked at before it is used again."""

_LONG: Final = 100
"""Parts of a command that are as much work to pack as it is to send it by itself."""


class Pool:
    """Any thread; no more threads at once than there may be connections.

    By the connection itself: redis-py's client above it would try again by itself, and it and its pool
    cost as much again as the exchange.

    size:    connections in use at once.
    timeout: seconds to wait for one that is free.
    keep:    whether connections are kept between exchanges, or given back to the client's own pool.
    """

    def __init__(self, *, size: int, timeout: float, keep: bool) -> None:
        self._timeout = timeout
        self._keep = keep
        self._closed = False
        self._age = 0  # of connections: those of an earlier one aren't kept
        self._free: SimpleQueue[None] = SimpleQueue()  # as a semaphore, at a tenth of its price
        for _ in range(size):
            self._free.put(None)
        self._idle: defaultdict[Node, deque[tuple[Any, float]]] = defaultdict(deque)

    def execute(self, node: Node, commands: Sequence[Command]) -> list[Any]:
        """Send the commands at once and read all replies. Raises the first error among them: RedisError."""
        try:
            self._free.get(timeout=self._timeout)
        except Empty:
            raise NoConnection(
                f"all connections have been busy for {self._timeout:g} s: raise max_connections"
            ) from None
        try:
            age = self._age
            connection = self._acquire(node)
            try:
                _send(connection, commands)
                replies = [_reply(connection) for _ in commands]
            except BaseException:
                connection.disconnect()  # what is still to come must not answer anything else
                raise
            finally:
                self._release(node, connection, age)
        except RedisError:
            raise
        except Exception as error:
            if self._closed:  # redis-py closes sockets that are in use, and trips over them
                raise NoConnection("the connections have been closed") from error
            raise
        finally:
            self._free.put(None)
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
        return replies

    def renew(self) -> None:
        """Close all connections, those in use when they are given back."""
        self._age += 1
        for node, idle in list(self._idle.items()):
            with suppress(IndexError):
                while True:
                    connection, _ = idle.pop()
                    connection.disconnect()
                    node.connection_pool.release(connection)

    def close(self) -> None:
        """Close all connections, those in use when they are given back."""
        self._closed, self._keep = True, False
        self.renew()

    def _acquire(self, node: Node) -> Any:
        try:
            connection, since = self._idle[node].pop()
        except IndexError:
            return node.connection_pool.get_connection()
        if time.monotonic() - since > _FRESH:
            # A server that was restarted has closed it, or it has been cut meanwhile.
            try:
                is_sound = not connection.can_read()
            except (RedisError, OSError):
                is_sound = False
            if not is_sound:
                connection.disconnect()  # it connects again when something is sent
        return connection

    def _release(self, node: Node, connection: Any, age: int) -> None:
        is_old = age != self._age
        if self._keep and not is_old:
            self._idle[node].append((connection, time.monotonic()))
        else:
            if self._closed or is_old:
                connection.disconnect()
            node.connection_pool.release(connection)


def _send(connection: Any, commands: Sequence[Command]) -> None:
    lot: list[Command] = []
    for command in commands:
        lot.append(command)
        if len(command) > _LONG:  # the server begins with it while the next one is packed
            connection.send_packed_command(connection.pack_commands(lot))
            lot = []
    if lot:
        connection.send_packed_command(connection.pack_commands(lot))


def _reply(connection: Any) -> Any:
    try:
        # As bytes, always: a client that decodes by itself would raise for what somebody else has written.
        return connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error
