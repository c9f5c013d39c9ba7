"""Asks a URL for its stream as a browser does, over HTTP/1.1, and notes what comes when."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection
from queue import Empty, SimpleQueue
from typing import Any, Final
from urllib.parse import SplitResult, urljoin, urlsplit

from ...errors import ConfigError
from ...events import OPEN

_BROWSERS: Final = {
    "Accept": "text/event-stream",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Cache-Control": "no-cache",
    "User-Agent": "Mozilla/5.0 (compatible; streamy-doctor)",
}
"""What browsers send for an EventSource, as far as servers and proxies go by it."""

_MOST_HOPS: Final = 5
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_OPENING: Final = re.compile(
    rf"^event: ?{re.escape(OPEN)}\n(?:.+\n)*?data: ?(\{{.*\}})\n".encode(), re.MULTILINE
)
_MOMENT: Final = 0.3
"""Seconds after the opening within which the end has come that a client is sent which may not stay."""

Piece = tuple[float, bytes]
"""What came, and how many seconds after the request was sent."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking.

    url:     where it was answered, after redirects. hops: the URLs that led there.
    version: 10 or 11, of HTTP. headers: by their names in lower case.
    pieces:  of the body, as they were read. ended: when it ended, in seconds; None: it goes on.
    waited:  for how many seconds it was listened to.
    """

    url: str
    hops: tuple[str, ...] = ()
    status: int | None = None
    version: int = 11
    headers: Mapping[str, str] | None = None
    pieces: tuple[Piece, ...] = ()
    ended: float | None = None
    waited: float = 0.0

    def header(self, name: str) -> str:
        """The header of this name, in lower case, or an empty text."""
        return (self.headers or {}).get(name, "")

    @property
    def is_stream(self) -> bool:
        """Whether it is what an EventSource reads."""
        return self.status == 200 and self.header("content-type").startswith("text/event-stream")

    @property
    def text(self) -> bytes:
        """What has come of the body, unpacked where that can be done."""
        body = b"".join(piece for _, piece in self.pieces)
        if self.header("content-encoding") in ("gzip", "deflate"):
            with suppress(zlib.error):
                return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body)
        return body

    @property
    def opening(self) -> dict[str, Any] | None:
        """What the opening event says; None if it hasn't come."""
        found = _OPENING.search(self.text.replace(b"\r\n", b"\n"))
        if found is None:
            return None
        with suppress(ValueError):
            told: dict[str, Any] = json.loads(found[1])
            return told
        return {}

    @property
    def keep_alive(self) -> float | None:
        """Seconds between keep-alives, as the opening event says; None: it doesn't."""
        seconds = (self.opening or {}).get("keep_alive")
        return float(seconds) if isinstance(seconds, int | float) else None


def ask(url: str, headers: Mapping[str, str], *, within: float, patience: float) -> Answer:
    """Ask for the stream at this URL, and follow redirects as an EventSource does.

    headers:  further ones. within: seconds for the opening event to come.
    patience: seconds to go on listening after that.

    Raises OSError if nobody is reached, HTTPException for what isn't HTTP, ConfigError for no URL.
    """
    hops: list[str] = []
    while True:
        answer = _ask_once(url, headers, within, patience)
        target = answer.header("location")
        if answer.status not in _REDIRECTS or not target or len(hops) >= _MOST_HOPS:
            return Answer(
                answer.url, tuple(hops), answer.status, answer.version, answer.headers, answer.pieces,
                answer.ended, answer.waited,
            )  # fmt: skip
        hops.append(url)
        url = urljoin(url, target)


def speaks_http2(url: str, within: float) -> bool:
    """Whether the server at an https URL offers HTTP/2 (ALPN, RFC 7301). Raises OSError."""
    parts = _split(url)
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    address = (parts.hostname or "", parts.port or 443)
    with (
        socket.create_connection(address, within) as plain,
        context.wrap_socket(plain, server_hostname=parts.hostname) as secure,
    ):
        return secure.selected_alpn_protocol() == "h2"


def server_behind(url: str, within: float) -> str | None:
    """What the server says it is, to an ordinary request; None if it answers none."""
    parts = _split(url)
    connection = _connection(parts, within)
    try:
        connection.request("HEAD", "/", headers={"Connection": "close"})
        return connection.getresponse().headers.get("Server", "a server that doesn't say what it is")
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def _ask_once(url: str, headers: Mapping[str, str], within: float, patience: float) -> Answer:
    parts = _split(url)
    connection = _connection(parts, within)
    try:
        connection.connect()
        listening = _Listening(connection, _target(parts), {**_BROWSERS, **headers})
        return listening.answer(url, within, patience)
    finally:
        with suppress(OSError):
            if connection.sock is not None:  # the thread has it, too
                connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()


class _Listening:
    """A request whose answer is read by a thread of its own: reading may block for as long as it likes."""

    def __init__(self, connection: HTTPConnection, target: str, headers: Mapping[str, str]) -> None:
        self._connection = connection
        self._news: SimpleQueue[tuple[float, HTTPMessage | bytes | Exception | None]] = SimpleQueue()
        self._status: int | None = None
        self._version = 11
        self._began = time.monotonic()
        connection.sock.settimeout(None)
        thread = threading.Thread(
            target=self._read, args=(target, dict(headers)), name="streamy-doctor", daemon=True
        )
        thread.start()

    def answer(self, url: str, within: float, patience: float) -> Answer:
        """What has come when the opening has, and for so many seconds more."""
        head: Mapping[str, str] | None = None
        pieces: list[Piece] = []
        answer = Answer(url)
        end, opened = within, False
        ended: float | None = None
        while ended is None and (left := end - self._now()) > 0:
            try:
                at, news = self._news.get(timeout=left)
            except Empty:
                break
            if isinstance(news, Exception):
                raise news
            if news is None:
                ended = at
            elif isinstance(news, bytes):
                pieces.append((at, news))
            else:
                head = {name.lower(): value for name, value in news.items()}
            answer = Answer(url, (), self._status, self._version, head, tuple(pieces), ended)
            if head is not None and not answer.is_stream:
                break
            if not opened and answer.opening is not None:
                end, opened = self._now() + max(patience, _MOMENT), True
        waited = self._now()
        return Answer(url, (), answer.status, answer.version, answer.headers, answer.pieces, ended, waited)

    def _read(self, target: str, headers: dict[str, str]) -> None:
        try:
            self._connection.request("GET", target, headers=headers)
            response = self._connection.getresponse()
            self._status, self._version = response.status, response.version
            self._tell(response.headers)
        except (OSError, HTTPException) as error:
            self._tell(error)
            return
        with suppress(OSError, HTTPException, ValueError, AttributeError):  # it was cut, here or there
            while piece := response.read1(65_536):
                self._tell(piece)
        self._tell(None)

    def _tell(self, news: HTTPMessage | bytes | Exception | None) -> None:
        self._news.put((self._now(), news))

    def _now(self) -> float:
        return time.monotonic() - self._began


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError("this is no address of a page: one begins with https:// or http://, and has a host")
    return urlsplit(url)


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _connection(parts: SplitResult, timeout: float) -> HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return HTTPSConnection(host, parts.port, timeout=timeout)
    return HTTPConnection(host, parts.port, timeout=timeout)
