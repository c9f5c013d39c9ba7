"""Runs the scripts where their keys live, and turns the driver's errors into Streamy's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from typing import Any, Final, NamedTuple

from redis.exceptions import AskError, MovedError, NoScriptError, RedisError, ResponseError
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import TimeoutError as NoAnswer

from streamy_core.broker import BrokerUnavailable, ConfigError

from .entries import text_of
from .faults import TO_RING, Meaning, error_of, meaning_of
from .pool import Command, Pool
from .servers import Node, Servers


class Script:
    """A script's text, and the name that servers know it by."""

    def __init__(self, name: str) -> None:
        folder = files(__name__.rpartition(".")[0])
        parts = [folder.joinpath(f"{part}.lua").read_text("utf-8") for part in ("common", name)]
        self.text: Final = "".join(parts)
        self.sha: Final = hashlib.sha1(self.text.encode()).hexdigest()

    def call(self, keys: Sequence[str], *args: str | int) -> Call:
        """One run of it. The first key says where."""
        return Call(keys[0], ("EVALSHA", self.sha, len(keys), *keys, *args), self)


NOTHING_WRITTEN: Final = ("unknown", b"unknown")
"""What a script that writes answers if there is no stream, and it may make none."""


MUTE: Final = ("mute", b"mute")
"""What a script that writes answers if it may not ring the bell. Nothing was written."""


FAILED: Final = "failed"
"""What a script for several streams says, before the error, of one that it could do nothing for."""


class Call(NamedTuple):
    """A command for the node that holds the key; with a script, a run of that."""

    key: str
    command: Command
    script: Script | None = None


class Runner:
    """Runs calls. Any thread.

    wait_replicas, timeout: as in Options.
    """

    def __init__(self, servers: Servers, pool: Pool, *, wait_replicas: int, timeout: float) -> None:
        self._servers = servers
        self._pool = pool
        self._wait_replicas = wait_replicas
        self._wait = [("WAIT", wait_replicas, max(1, round(timeout * 500)))] if wait_replicas else []

    def write(self, call: Call) -> Any:
        """The answer, once as many replicas as demanded have it too.

        Raises BrokerUnavailable; ConfigError if the user may not write, or may not ring the bell.
        """
        try:
            replies = self._write(self._servers.node_of(call.key), [call], self._wait)
        except RedisError as error:
            raise error_of("write to Redis", error) from error
        return self._confirmed(replies)[0]

    def write_many(self, calls: Sequence[Call]) -> list[Any]:
        """The answers to many, in one round trip to each server; BrokerUnavailable for one that has none.

        That of a call for several streams is a list, in which FAILED begins what is said of one that failed.

        Raises ConfigError as `write` does.
        """
        replies: list[Any] = [None] * len(calls)
        by_node: dict[Node, list[int]] = {}
        for index, call in enumerate(calls):
            try:
                by_node.setdefault(self._servers.node_of(call.key), []).append(index)
            except RedisError as error:
                replies[index] = unavailable(error)
        for node, indexes in by_node.items():
            found = self._write_to(node, [calls[index] for index in indexes])
            for index, reply in zip(indexes, found, strict=True):
                replies[index] = reply
        return replies

    def _write_to(self, node: Node, calls: Sequence[Call]) -> list[Any]:
        """The answers of one server, or what it failed with for each."""
        try:
            return self._confirmed(self._write(node, calls, self._wait))
        except RedisError as error:
            fault = unavailable(error)
            # It has answered, and may have run others of them: then they say so, each by itself.
            if isinstance(error, ResponseError) and meaning_of(error).meaning is not Meaning.REFUSAL:
                return [self._write_one(call) for call in calls] if len(calls) > 1 else [fault]
        except BrokerUnavailable as error:
            fault = error
        return [fault] * len(calls)

    def _write_one(self, call: Call) -> Any:
        try:
            return self.write(call)
        except BrokerUnavailable as error:
            return error

    def read(self, calls: Sequence[Call]) -> list[Any]:
        """The answers, in one round trip to each server. Raises BrokerUnavailable, ConfigError."""
        try:
            by_node: dict[Node, list[int]] = {}
            for index, call in enumerate(calls):
                by_node.setdefault(self._servers.node_of(call.key), []).append(index)
            replies: list[Any] = [None] * len(calls)
            for node, indexes in by_node.items():
                found = self._run(node, [calls[index] for index in indexes])
                for index, reply in zip(indexes, found, strict=True):
                    replies[index] = reply
            return replies
        except RedisError as error:
            raise error_of("read from Redis", error) from error

    def execute(self, key: str, commands: Sequence[Command]) -> list[Any]:
        """The answers to commands on this key. Raises RedisError."""
        return self._execute(self._servers.node_of(key), commands)

    def keys_at(self, node: Node, pattern: str, at_once: int) -> set[bytes]:
        """The node's keys that match the pattern, looked for so many at once. Raises RedisError."""
        found: set[bytes] = set()
        cursor: bytes | None = None
        while cursor != b"0":
            (reply,) = self._execute(node, [("SCAN", cursor or 0, "MATCH", pattern, "COUNT", at_once)])
            cursor, keys = reply
            found.update(keys)
        return found

    def time(self, key: str) -> float:
        """Seconds since 1970, where this key is. Raises RedisError."""
        ((seconds, microseconds),) = self.execute(key, [("TIME",)])
        return int(seconds) + int(microseconds) / 1_000_000

    def run(self, call: Call) -> Any:
        """The answer, whatever it is. Raises RedisError."""
        (reply,) = self._write(self._servers.node_of(call.key), [call])
        return reply

    def rediscover(self) -> None:
        """Something was not where it was looked for. Raises RedisError."""
        self._pool.renew()
        self._servers.rediscover()

    def _confirmed(self, replies: list[Any]) -> list[Any]:
        """The scripts' answers, once as many replicas as demanded have what they wrote. Raises as `write`."""
        if self._wait:
            *replies, replicas = replies
            if replicas < self._wait_replicas and any(_may_have_written(text) for text in _texts(replies)):
                raise BrokerUnavailable(
                    f"written, but {replicas} replicas have it, and not the {self._wait_replicas} "
                    "that wait_replicas demands"
                )
        if any(text in MUTE for text in _texts(replies)):
            raise ConfigError(f"could not write to Redis: its bell can't be rung: {TO_RING}")
        return replies

    def _write(self, node: Node, calls: Sequence[Call], more: Sequence[Command] = ()) -> list[Any]:
        try:
            return self._run(node, calls, more)
        except RedisError as error:
            if meaning_of(error).meaning is not Meaning.REFUSAL:
                raise
        # Nothing was written, and a new connection may lead to a server that takes it.
        return self._run(self._servers.node_of(calls[0].key), calls, more)

    def _run(self, node: Node, calls: Sequence[Call], more: Sequence[Command] = ()) -> list[Any]:
        commands = [*[call.command for call in calls], *more]
        try:
            return self._execute(node, commands)
        except NoScriptError:
            # The server is new, or has forgotten them: then none of these scripts has been run.
            texts = {call.script.text for call in calls if call.script}
            self._execute(node, [("SCRIPT", "LOAD", text) for text in texts])
            return self._execute(node, commands)

    def _execute(self, node: Node, commands: Sequence[Command]) -> list[Any]:
        try:
            return self._pool.execute(node, commands)
        except RedisError as error:
            # ASK isn't followed: on the node that a slot is moving to, a script may not use keys that
            # aren't there yet (Redis cluster specification, TRYAGAIN). It is a matter of moments.
            if meaning_of(error).meaning is Meaning.REFUSAL:
                # Others' as well, of a client that is shared: they lead to the same server.
                node.connection_pool.disconnect(inuse_connections=False)
                self.rediscover()
            elif isinstance(error, MovedError | AskError | NoConnection | NoAnswer):
                self.rediscover()
            raise


def _texts(replies: Iterable[Any]) -> Iterator[Any]:
    """All answers, those of calls for several streams one by one."""
    for reply in replies:
        if isinstance(reply, list):
            yield from reply
        else:
            yield reply


def _may_have_written(text: Any) -> bool:
    return text not in NOTHING_WRITTEN and not text_of(text).startswith(FAILED)


def unavailable(error: RedisError) -> BrokerUnavailable:
    """The error as it may be kept for later. Raises ConfigError if it doesn't pass."""
    fault = error_of("write to Redis", error)
    if isinstance(fault, ConfigError):
        raise fault from error
    fault.__cause__ = error
    return fault
