"""At start, does all that publishing and reading do, on a stream that nobody has: rights may be missing."""

from __future__ import annotations

import selectors
import time
from contextlib import closing, suppress
from typing import Final

from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from .faults import Meaning, meaning_of
from .keys import Keys
from .options import Kept
from .scripts import MUTE, Call, Runner, Script
from .servers import Node, Servers
from .subscriber import Subscriber

_SHORT: Final = 60_000
"""Milliseconds for which what a trial has written stays, if it can't be removed."""


class Trial:
    """Raises RedisError for what a server doesn't let us do. Any thread.

    scripts: those that append, read, and end.
    timeout: seconds to wait for the bell.
    """

    def __init__(
        self,
        keys: Keys,
        servers: Servers,
        runner: Runner,
        scripts: tuple[Script, Script, Script],
        *,
        timeout: float,
    ) -> None:
        self._keys = keys
        self._servers = servers
        self._runner = runner
        self._append, self._read, self._end = scripts
        self._timeout = timeout

    def fault_of(self, node: Node) -> RedisError | None:
        """What is wrong with the set-up, as this server says, or why it can't be reached; None: nothing.

        A server that takes no writes for now can be read from, so that is none.
        """
        try:
            if name := self._servers.name_at(node):
                self._do_all(node, name)
        except ResponseError as error:
            passes = meaning_of(error).meaning in (Meaning.PASSING, Meaning.REFUSAL)
            return None if passes else error
        except RedisError as error:
            return error
        return None

    def _do_all(self, node: Node, name: str) -> None:
        channel = self._keys.channel(name)
        keys = self._keys.for_append(name, "trial")
        settings = f"{Kept(1, _SHORT, _SHORT)} {_SHORT} {self._servers.publish} {'0' * 16}"
        # More than is kept, so that it is trimmed, too.
        append = self._append.call(keys, settings, "trial", *["000\n\n", "x"] * 3)
        with closing(Subscriber(node, sharded=self._servers.sharded, timeout=self._timeout)) as subscriber:
            subscriber.subscribe(channel)
            self._hear(subscriber, "subscribe")
            try:
                self._write(append)
                self._write(self._read.call(keys[:2], "", 0, "", 10, ""))
                self._write(self._end.call(keys[:1], settings, "trial", "000"))
                self._hear(subscriber, "message")
            finally:
                with suppress(RedisError):
                    self._runner.execute(keys[0], [("DEL", *keys)])
            subscriber.unsubscribe(channel)
            self._hear(subscriber, "unsubscribe")

    def _write(self, call: Call) -> None:
        if self._runner.run(call) in MUTE:
            raise NoPermissionError("the user may not publish on the channel of a bell")

    def _hear(self, subscriber: Subscriber, kind: str) -> None:
        """Wait for a message of this kind, or, of a cluster, of its kind there."""
        wanted = f"s{kind}" if self._servers.sharded else kind
        end = time.monotonic() + self._timeout
        with selectors.DefaultSelector() as selector:
            selector.register(subscriber.socket, selectors.EVENT_READ)
            while (left := end - time.monotonic()) > 0:
                if wanted in [found.decode() for found, *_ in subscriber.messages()]:
                    return
                selector.select(left)
        raise NoConnection(f"no {kind} has come on the connection for bells in {self._timeout:g} s")
