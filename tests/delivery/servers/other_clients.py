"""Clients that others have written: in Python, in JavaScript, and curl."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Protocol

import httpx
from httpx_sse import connect_sse
from ld_eventsource import SSEClient  # type: ignore[import-untyped]
from ld_eventsource.actions import Event  # type: ignore[import-untyped]
from ld_eventsource.config import (  # type: ignore[import-untyped]
    ConnectStrategy,
    ErrorStrategy,
    RetryDelayStrategy,
)

from streamy_core import OPEN
from streamy_core.testing.reading import DEADLINE

from ...support.event_stream import FrameReader, Message

NODE: Final = Path(__file__).parent / "node"
NPM_INSTALL: Final = "npm install --prefix tests/delivery/servers/node"


class Client(Protocol):
    """A client that somebody else has written. Making one returns when it is connected."""

    def read(self, count: int) -> list[Message]:
        """The next `count` messages."""

    def close(self) -> None: ...


class HttpxSse:
    """httpx-sse. It dispatches frames without data, which the standard forbids: these are left out."""

    def __init__(self, url: str, names: tuple[str, ...]) -> None:
        with ExitStack() as opened:
            client = opened.enter_context(httpx.Client(timeout=DEADLINE))
            self._events = opened.enter_context(connect_sse(client, "GET", url)).iter_sse()
            self._opened = opened.pop_all()

    def read(self, count: int) -> list[Message]:
        messages: list[Message] = []
        end = time.monotonic() + DEADLINE
        while len(messages) < count:
            event = next(self._events)
            assert time.monotonic() < end, f"httpx-sse got {messages}, and not {count} messages in time"
            if event.data and event.event != OPEN:
                messages.append(Message(event.event or "message", event.data, event.id))
        return messages

    def close(self) -> None:
        self._opened.close()


class LaunchDarkly:
    """launchdarkly-eventsource, told to reconnect whatever happens."""

    def __init__(self, url: str, names: tuple[str, ...]) -> None:
        self._client = SSEClient(
            ConnectStrategy.http(url, urllib3_request_options={"timeout": DEADLINE}),
            initial_retry_delay=0.05,
            retry_delay_strategy=RetryDelayStrategy.default(max_delay=0.1),
            error_strategy=ErrorStrategy.continue_with_time_limit(DEADLINE),
        )
        self._client.start()
        self._actions = iter(self._client.all)

    def read(self, count: int) -> list[Message]:
        messages: list[Message] = []
        # Keep-alives come all the time, so that a timeout of the socket never strikes.
        late = threading.Timer(DEADLINE, self._client.interrupt)
        late.start()
        try:
            while len(messages) < count:
                action = next(self._actions)
                assert not late.finished.is_set(), f"launchdarkly-eventsource got {messages}, not {count}"
                if isinstance(action, Event) and action.event != OPEN:
                    messages.append(Message(action.event, action.data, action.last_event_id or ""))
        finally:
            late.cancel()
            late.join()
        return messages

    def close(self) -> None:
        self._client.close()


class _Command:
    """A process whose output is read with a deadline."""

    def __init__(self, *command: str | Path) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def feed(self, reader: Callable[[bytes], object], until: Callable[[], object]) -> None:
        """Give the reader what it writes, until this is true; fail if it ends before."""
        if until():
            return
        for data in self.output():
            reader(data)
            if until():
                return
        raise AssertionError(f"{self._process.args!r} has ended")

    def output(self) -> Iterator[bytes]:
        """What it writes, as it comes, up to its end. Each call has a deadline of its own."""
        assert self._process.stdout is not None
        end = time.monotonic() + DEADLINE
        while (left := end - time.monotonic()) > 0:
            if select.select([self._process.stdout], [], [], left)[0]:
                data = os.read(self._process.stdout.fileno(), 65_536)
                if not data:
                    return
                yield data
        raise AssertionError(f"{self._process.args!r}: what was waited for has not come")

    def wait(self) -> int:
        """Its exit code."""
        return self._process.wait(DEADLINE)

    def close(self) -> None:
        self._process.kill()
        self._process.wait(DEADLINE)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Curl:
    """curl -N, whose output is parsed here."""

    def __init__(self, url: str, names: tuple[str, ...]) -> None:
        self._curl = _Command("curl", "--no-buffer", "--silent", "--show-error", url)
        self._parser = FrameReader()
        self._taken = 0
        self._until(lambda: self._parser.frames)

    def read(self, count: int) -> list[Message]:
        first, self._taken = self._taken, self._taken + count
        self._until(lambda: len(self._parser.messages) >= self._taken)
        return self._parser.messages[first : self._taken]

    def close(self) -> None:
        self._curl.close()

    def _until(self, condition: Callable[[], object]) -> None:
        self._curl.feed(self._parser.feed, condition)


class NpmEventSource:
    """npm's eventsource, driven by node/read.mjs, which hears the events of these names."""

    def __init__(self, url: str, names: tuple[str, ...]) -> None:
        self._node = _Command("node", NODE / "read.mjs", url, *names)
        self._pending = b""
        self._messages: list[Message] = []
        self.states: list[str] = []
        self._until(lambda: self.states)

    def read(self, count: int) -> list[Message]:
        self._until(lambda: len(self._messages) >= count)
        messages, self._messages = self._messages[:count], self._messages[count:]
        return messages

    def wait_until_it_gives_up(self) -> str:
        """The last state it tells before node has nothing left to do, and no timer that runs."""
        for data in self._node.output():
            self._feed(data)
        assert self._node.wait() == 0
        return self.states[-1]

    def wait_for(self, state: str) -> None:
        """Wait until it has told this state: `open`, `reconnecting`, `closed 204`."""
        self._until(lambda: state in self.states)

    def close(self) -> None:
        self._node.close()

    def _until(self, condition: Callable[[], object]) -> None:
        self._node.feed(self._feed, condition)

    def _feed(self, data: bytes) -> None:
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            assert line.startswith(b"{"), f"node says: {line.decode()}"
            told = json.loads(line)
            if "state" in told:
                self.states.append(told["state"])
            else:
                self._messages.append(Message(**told))


def missing_for_npm() -> str:
    """What npm's client lacks here, and the cure; empty if nothing."""
    if shutil.which("node") is None:
        return f"there is no node: install it, and then `{NPM_INSTALL}`"
    if not (NODE / "node_modules" / "eventsource").is_dir():
        return f"the npm package is not installed: `{NPM_INSTALL}`"
    return ""
