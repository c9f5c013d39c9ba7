"""How a client for tests is connected: to an app in its own process, or to a server by HTTP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, NamedTuple

from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, run_wsgi_app

from ..opening import OPENED
from ..response import StreamBody
from .reading import DEADLINE

Wsgi = Callable[..., Iterable[bytes]]


class Arrived(NamedTuple):
    """A response, of which the head has come.

    leave: ends the connection, as a browser does that is closed. Any thread.
    """

    status: str
    headers: Headers
    chunks: Iterable[bytes]
    leave: Callable[[], object]


Connect = Callable[[Mapping[str, str]], Arrived]
"""Ask with these headers, and wait for the head of the response."""


def in_process(wsgi: Wsgi, path: str) -> Connect:
    """Ask a WSGI application for this path, without a server."""

    def connect(headers: Mapping[str, str]) -> Arrived:
        opened: list[StreamBody] = []
        environ = EnvironBuilder(path=path, headers=list(headers.items())).get_environ()
        environ[OPENED] = opened.append
        chunks, status, got = run_wsgi_app(wsgi, environ)

        def leave() -> None:
            for body in opened:
                body.close()

        return Arrived(status, got, chunks, leave)

    return connect


def by_http(host: str, port: int, path: str) -> Connect:
    """Ask a server for this path."""

    def connect(headers: Mapping[str, str]) -> Arrived:
        connection = HTTPConnection(host, port, timeout=DEADLINE)
        connection.request("GET", path, headers=dict(headers))
        sock = connection.sock
        response = connection.getresponse()
        sock.settimeout(None)

        def leave() -> None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

        status = f"{response.status} {response.reason}"
        return Arrived(status, Headers(response.getheaders()), _pieces(response, connection), leave)

    return connect


def _pieces(response: HTTPResponse, connection: HTTPConnection) -> Iterator[bytes]:
    try:
        with suppress(OSError, HTTPException):  # it was cut, here or there
            while piece := response.read1(65_536):
                yield piece
    finally:
        response.close()
        connection.close()


class Line:
    """A response that a thread of its own reads.

    news: notified of each piece, and of the end; held while anything here changes.
    got:  called with each piece.
    over: whether no more will come.
    """

    def __init__(self, arrived: Arrived, news: threading.Condition, got: Callable[[bytes], object]) -> None:
        self.over: bool = False
        self._arrived = arrived
        self._news = news
        self._got = got
        self._cut = False
        threading.Thread(target=self._read, name="streamy-event-client", daemon=True).start()

    def cut(self) -> None:
        """Read no more. Nothing tells the app, which finds out when it next writes."""
        with self._news:
            self._cut = self.over = True
            self._news.notify_all()

    def leave(self) -> None:
        """Have the response end. What the app has sent before may still come."""
        self._arrived.leave()

    def _read(self) -> None:
        chunks: Any = self._arrived.chunks
        try:
            for chunk in chunks:
                with self._news:
                    if self._cut:
                        break
                    self._got(chunk)
                    self._news.notify_all()
        finally:
            getattr(chunks, "close", lambda: None)()
            with self._news:
                self.over = True
                self._news.notify_all()
