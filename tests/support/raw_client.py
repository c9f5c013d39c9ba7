"""A client made of a bare socket, which can misbehave."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping
from typing import Self

from streamy_core.testing.reading import DEADLINE

from .event_stream import ChunkedBody, Frame, FrameReader, Message, parse_rest


class RawClient:
    """One request over one socket. Reads only when told to, and can be cut off at any byte.

    What has come is in `frames`, `messages` and `last_event_id`. Everything that waits fails after
    the deadline.

    version: of HTTP. behind: bytes to be sent at once behind the head: a body, or a further request.
    tls:     whether to speak TLS, with whoever answers: certificates of tests are nobody's.
    """

    def __init__(
        self,
        address: tuple[str, int],
        path: str,
        *,
        method: str = "GET",
        version: str = "1.1",
        headers: Mapping[str, str] | None = None,
        last_event_id: str | None = None,
        behind: bytes = b"",
        tls: bool = False,
    ) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.raw_bytes = 0
        self.closed_by_server = False
        self._head = b""
        self._body = FrameReader()
        self._chunks: ChunkedBody | None = None
        self._socket = socket.create_connection(address, timeout=DEADLINE)
        if tls:
            self._socket = _trusting().wrap_socket(self._socket)
        lines = [f"{method} {path} HTTP/{version}", f"Host: {address[0]}:{address[1]}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if last_event_id is not None:
            lines.append(f"Last-Event-ID: {last_event_id}")
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode() + behind)

    def send(self, data: bytes) -> None:
        """Say something after the request."""
        self._socket.sendall(data)

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
    def rest(self) -> bytes:
        """What has come since the last frame that was complete."""
        return self._body.rest

    @property
    def last_frame(self) -> Frame:
        """The last frame, whether or not a blank line follows its lines."""
        return parse_rest(self._body.rest) if self._body.rest else self.frames[-1]

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

        at_most: stop early at so many messages, after which there will be no more.
        """

        def is_enough() -> bool:
            return self.raw_bytes >= count or (at_most is not None and len(self.messages) >= at_most)

        self.until(is_enough, f"{count} bytes", stop_at=count)

    def read_to_end(self) -> list[Message]:
        """All messages, once the response is over."""
        self.until(lambda: self.complete, "the end of the response")
        return self.messages

    def read_all(self, until: bytes = b"") -> bytes:
        """Every byte up to and with `until`, or else up to the close, unparsed. Instead of reading."""
        received = b""
        end = time.monotonic() + DEADLINE
        while not (until and until in received):
            self._socket.settimeout(max(0.001, end - time.monotonic()))
            data = self._socket.recv(65_536)
            assert data or not until, f"closed before {until!r}: {received[-500:]!r}"
            if not data:
                break
            received += data
        return received

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


def _trusting() -> ssl.SSLContext:
    """TLS with whoever answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
