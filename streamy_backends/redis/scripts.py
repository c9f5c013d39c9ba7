"""Runs the scripts where their keys live, and turns the driver's errors into Streamy's."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Final, NamedTuple

from redis.exceptions import AskError, MovedError, NoScriptError, RedisError
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import TimeoutError as NoAnswer

from streamy_core.errors import BrokerUnavailable

from .servers import Node, Servers


class Script:
    """A script's text, and the name that servers know it by."""

    def __init__(self, name: str) -> None:
        self.text: Final = files(__package__).joinpath(f"{name}.lua").read_text("utf-8")
        self.sha: Final = hashlib.sha1(self.text.encode()).hexdigest()


class Call(NamedTuple):
    """One run of a script. The first key says where."""

    script: Script
    keys: tuple[str, ...]
    args: tuple[Any, ...]

    @property
    def command(self) -> tuple[Any, ...]:
        """As a command for the server (EVALSHA)."""
        return "EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.args


@contextmanager
def passing_faults(doing: str) -> Iterator[None]:
    """Every fault of the driver's or the server's as BrokerUnavailable."""
    try:
        yield
    except RedisError as error:
        raise BrokerUnavailable(f"could not {doing}: {type(error).__name__}: {error}") from error


class Runner:
    """Runs calls. Any thread; no more at once than there may be connections.

    wait_replicas, timeout: as in Options.
    """

    def __init__(self, servers: Servers, *, connections: int, wait_replicas: int, timeout: float) -> None:
        self._servers = servers
        self._slots = threading.BoundedSemaphore(connections)
        self._wait_replicas = wait_replicas
        self._timeout = timeout

    def write(self, call: Call) -> Any:
        """The answer, once as many replicas as demanded have it too. Raises BrokerUnavailable."""
        with self._slot(), passing_faults("write to Redis"):
            if not self._wait_replicas:
                return self._run(self._servers.node_of(call.keys[0]), [call])[0]
            wait = ("WAIT", self._wait_replicas, round(self._timeout * 500))
            reply, replicas = self._run(self._servers.node_of(call.keys[0]), [call], wait)
        if replicas < self._wait_replicas:
            raise BrokerUnavailable(
                f"written, but {replicas} replicas have it, and not the {self._wait_replicas} "
                "that wait_replicas demands"
            )
        return reply

    def read(self, calls: Sequence[Call]) -> list[Any]:
        """The answers, in one round trip to each server. Raises BrokerUnavailable."""
        with self._slot(), passing_faults("read from Redis"):
            by_node: dict[int, tuple[Node, list[int]]] = {}
            for place, call in enumerate(calls):
                node = self._servers.node_of(call.keys[0])
                by_node.setdefault(id(node), (node, []))[1].append(place)
            replies: list[Any] = [None] * len(calls)
            for node, places in by_node.values():
                found = self._run(node, [calls[place] for place in places])
                for place, reply in zip(places, found, strict=True):
                    replies[place] = reply
            return replies

    def _run(self, node: Node, calls: Sequence[Call], *more: tuple[Any, ...]) -> list[Any]:
        commands = [*(call.command for call in calls), *more]
        try:
            try:
                return _send(node, commands)
            except NoScriptError:
                # The server is new, or has forgotten them. None of those that it lacks has run.
                for script in {call.script for call in calls}:
                    node.script_load(script.text)
                return _send(node, commands)
        except (MovedError, AskError, NoConnection, NoAnswer):
            self._servers.look_again()
            raise

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(timeout=self._timeout):
            raise BrokerUnavailable(
                f"all connections to Redis have been busy for {self._timeout:g} s: raise max_connections"
            )
        try:
            yield
        finally:
            self._slots.release()


def _send(node: Node, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    if len(commands) == 1:
        return [node.execute_command(*commands[0])]
    pipeline = node.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    replies: list[Any] = pipeline.execute(raise_on_error=False)
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies
