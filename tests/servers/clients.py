"""The clients: one made of a bare socket, which can misbehave, and four that others have written."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Protocol, Self

import httpx
from httpx_sse import connect_sse
from ld_eventsource import SSEClient  # type: ignore[import-untyped]
from ld_eventsource.actions import Event  # type: ignore[import-untyped]
from ld_eventsource.config import (  # type: ignore[import-untyped]
    ConnectStrategy,
    ErrorStrategy,
    RetryDelayStrategy,
)

from streamy_core.testing.reading import DEADLINE

from .parsing import ChunkedBody, Frame, Message, StreamParser

NODE: Final = Path(__file__).parent / "node"
NPM_INSTALL: Final = "npm install --prefix tests/servers/node"


class RawClient:
    """One request over one socket. Reads only when told to, and can be cut off at any byte.

    What has come is in `frames`, `messages` and `last_event_id`. Everything that waits fails after
    the deadline.
    """

    def __init__(self, address: tuple[str, int], path: str, *, last_event_id: str | None = None) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.raw_bytes = 0
        self.closed_by_server = False
        self._head = b""
        self._body = StreamParser()
        self._chunks: ChunkedBody | None = None
        self._socket = socket.create_connection(address, timeout=DEADLINE)
        lines = [f"GET {path} HTTP/1.1", f"Host: {address[0]}:{address[1]}", "Accept: text/event-stream"]
        if last_event_id is not None:
            lines.append(f"Last-Event-ID: {last_event_id}")
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())

    @property
    def frames(self) -> list[Frame]:
        return self._body.frames

    @property
    def messages(self) -> list[Message]:
        return self._body.messages

    @property
    def last_event_id(self) -> str:
        """What a browser would send as `Last-Event-ID`; empty if nothing."""
        return self._body.last_event_id

    @property
    def comments(self) -> list[str]:
        return [comment for frame in self.frames for comment in frame.comments]

    @property
    def complete(self) -> bool:
        """Whether the response is over, and not merely torn off."""
        return self._chunks.complete if self._chunks else self.closed_by_server

    def header(self, name: str) -> list[str]:
        """All values that the header was sent with."""
        return [value for given, value in self.headers if given.lower() == name.lower()]

    def until(self, condition: Callable[[], object], what: str, *, stop_at: int | None = None) -> None:
        """Read until `condition()`, and never beyond the byte `stop_at`, if given, of the response."""
        end = time.monotonic() + DEADLINE
        while not condition():
            left = end - time.monotonic()
            shown = f"{what}; after {len(self.messages)} messages, the last {self.messages[-1:]}"
            assert left > 0, f"not within {DEADLINE:.0f} s: {shown}"
            assert not self.closed_by_server, f"the server closed before: {shown}"
            self._receive(left, 65_536 if stop_at is None else stop_at - self.raw_bytes)

    def read_head(self) -> None:
        self.until(lambda: self.status, "the head of the response")

    def read_opening(self) -> Frame:
        """The first frame."""
        self.until(lambda: self.frames, "the first frame")
        return self.frames[0]

    def read(self, count: int) -> list[Message]:
        """All messages, once there are at least so many."""
        self.until(lambda: len(self.messages) >= count, f"{count} messages")
        return self.messages

    def read_bytes(self, count: int, *, at_most: int | None = None) -> None:
        """Take exactly so many bytes of the response, its head included.

        at_most: stop early at so many messages, behind which there will be no more.
        """

        def is_enough() -> bool:
            return self.raw_bytes >= count or (at_most is not None and len(self.messages) >= at_most)

        self.until(is_enough, f"{count} bytes", stop_at=count)

    def read_to_end(self) -> list[Message]:
        """All messages, once the response is over."""
        self.until(lambda: self.complete, "the end of the response")
        return self.messages

    def reset(self) -> None:
        """Close by RST: what a crashed process or a cable does to the server."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Close politely."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _receive(self, timeout: float, at_most: int) -> None:
        self._socket.settimeout(timeout)
        try:
            data = self._socket.recv(at_most)
        except TimeoutError:
            return
        self.raw_bytes += len(data)
        self.closed_by_server = not data
        if not self.status:
            self._head += data
            head, blank, data = self._head.partition(b"\r\n\r\n")
            if not blank:
                return
            self._parse_head(head.decode("latin-1"))
        self._body.feed(self._chunks.feed(data) if self._chunks else data)

    def _parse_head(self, head: str) -> None:
        status, *lines = head.split("\r\n")
        for line in lines:
            name, _, value = line.partition(":")
            self.headers.append((name, value.strip()))
        if self.header("Transfer-Encoding") == ["chunked"]:
            self._chunks = ChunkedBody()
        self.status = int(status.split()[1])


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
            if event.data:
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
                if isinstance(action, Event):
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
        self._parser = StreamParser()
        self._taken = 0
        self._until(lambda: self._parser.frames)

    def read(self, count: int) -> list[Message]:
        first, self._taken = self._taken, self._taken + count
        self._until(lambda: len(self._parser.messages) >= self._taken)
        return self._parser.messages[first : self._taken]

    def close(self) -> None:
        self._curl.close()

    def _until(self, condition: Callable[[], object]) -> None:
        if condition():
            return
        for data in self._curl.output():
            self._parser.feed(data)
            if condition():
                return
        raise AssertionError("curl has ended")


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
        if condition():
            return
        for data in self._node.output():
            self._feed(data)
            if condition():
                return
        raise AssertionError(f"node has ended after {self.states}")

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
