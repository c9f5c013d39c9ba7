"""A connection that is subscribed to channels of one server."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Any, Final

from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError
from redis.retry import Retry

from .servers import Node

MESSAGE: Final = (b"message", b"smessage")
SUBSCRIBED: Final = (b"subscribe", b"ssubscribe")
_UNSUBSCRIBED: Final = (b"unsubscribe", b"sunsubscribe")
_MESSAGES_AT_ONCE: Final = 1_000


class Subscriber:
    """Making one connects. Any thread, but for `messages` and `check`; all raise RedisError.

    sharded: whether its channels are those of a cluster's node (Redis documentation, SSUBSCRIBE).
    timeout: seconds of silence after which the server is asked whether it is still there, and the
             seconds that it has for an answer.

    Its attribute `has_more` is whether more has been read from the socket already than `messages` gave.
    """

    def __init__(self, node: Node, *, sharded: bool, timeout: float) -> None:
        pool = node.connection_pool
        settings = {name: value for name, value in pool.connection_kwargs.items() if "maint_" not in name}
        settings |= {"protocol": 2, "decode_responses": False, "retry": Retry(NoBackoff(), 0)}
        settings["socket_timeout"] = settings.get("socket_timeout") or timeout
        self._connection = pool.connection_class(**settings)
        self._connection.connect()
        self._sharded = sharded
        self._timeout = timeout
        self._lock = threading.Lock()
        self._heard_at = time.monotonic()
        self._asked_at: float | None = None
        self._leaving: Counter[bytes] = Counter()  # channels, until the server confirms
        self.has_more: bool = False

    @property
    def socket(self) -> socket.socket:
        """For a selector: redis-py has no public way to wait for several connections, or for one and more."""
        self._check_open()
        found: socket.socket = self._connection._sock
        return found

    def subscribe(self, channel: str) -> None:
        self._send("SSUBSCRIBE" if self._sharded else "SUBSCRIBE", channel)

    def unsubscribe(self, channel: str) -> None:
        with self._lock:
            self._leaving[channel.encode()] += 1
        self._send("SUNSUBSCRIBE" if self._sharded else "UNSUBSCRIBE", channel)

    def messages(self) -> list[list[Any]]:
        """What has come, each as its kind, its channel, and what it says."""
        found: list[list[Any]] = []
        with self._lock:
            while len(found) < _MESSAGES_AT_ONCE and self._can_read():
                reply: Any = self._connection.read_response()
                message: Any = reply
                self._heard_at, self._asked_at = time.monotonic(), None
                if not isinstance(reply, list) or len(message) != 3:
                    continue  # a PONG
                found.append(message)
                if message[0] in _UNSUBSCRIBED:
                    self._has_left(message[1])
        self.has_more = len(found) == _MESSAGES_AT_ONCE
        return found

    def check(self, now: float) -> None:
        """After long silence, ask whether the server is there; after more, it isn't."""
        if self._asked_at is not None and now - self._asked_at >= self._timeout:
            raise NoConnection(f"nothing has been heard for {now - self._heard_at:.0f} s")
        if self._asked_at is None and now - self._heard_at >= self._timeout:
            self._asked_at = now
            self._send("PING")

    def close(self) -> None:
        """Disconnect. Nobody uses it any more."""
        with suppress(RedisError, OSError):
            self._connection.disconnect()

    def _has_left(self, channel: bytes) -> None:
        if not self._leaving[channel]:
            # Unasked: the channel's slot is another node's now (Redis documentation, SSUBSCRIBE).
            raise NoConnection(f"the channel {channel!r} has moved to another node")
        self._leaving[channel] -= 1
        if not self._leaving[channel]:
            del self._leaving[channel]

    def _can_read(self) -> bool:
        self._check_open()
        return bool(self._connection.can_read(timeout=0))

    def _send(self, *command: str) -> None:
        with self._lock:
            self._check_open()
            self._connection.send_command(*command, check_health=False)

    def _check_open(self) -> None:
        # redis-py would open a lost connection again by itself, subscribed to nothing.
        if self._connection._sock is None:
            raise NoConnection("the connection has been lost")
