"""The Flask response of an event stream: the only place that knows Flask's response."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final
from wsgiref.util import is_hop_by_hop

from flask import Response
from werkzeug.datastructures import Headers
from werkzeug.wsgi import ClosingIterator

from .delivery.delivery import Connection, Exchange, turn_away
from .delivery.servers import server_of
from .delivery.service import DeliveryService
from .delivery.session import Session
from .engine.byte_reader import ByteReader

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

CONTENT_TYPE: Final = "text/event-stream"  # always UTF-8 and without a charset: WHATWG HTML section 9.2.5


class StreamBody(Iterable[bytes]):
    """The body of a client's response. It takes up nothing before it is iterated, or detached.

    Iterating, by one thread at a time, delivers by that thread; `close`, by any, ends it.

    environ: of the client's request, if it came by one.
    """

    def __init__(
        self,
        service: DeliveryService,
        session: Session,
        reader: ByteReader,
        environ: WSGIEnvironment | None,
    ) -> None:
        self._service = service
        self._session = session
        self._reader = reader
        self._connection = Connection.of(server_of(environ), environ)
        self._iterator: Iterator[bytes] | None = None
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        if self._iterator is None:
            if self._closed:
                return iter(())
            self._iterator = self._service.body(self._session, self._reader, self._connection)
        return self._iterator

    def detach(
        self, environ: WSGIEnvironment, status: str, headers: list[tuple[str, str]], *, closes: bool
    ) -> Iterable[bytes] | None:
        """Have the client served apart from its server, which gets this body; None: it has to deliver.

        closes: whether the server will close the connection after the response.
        """
        if self._iterator is not None or self._closed:
            return None
        exchange = Exchange(self._connection.server, environ, status, headers, closes)
        return self._service.detach(self._session, self._reader, exchange)

    def close(self) -> None:
        """End it. Closing twice does nothing."""
        self._closed = True
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()


class EventStreamResponse(Response):
    """A response whose body is an event stream.

    body:    the bytes, or None for "204 No Content", upon which a browser reconnects no more
             (WHATWG HTML section 9.2.3).
    headers: the caller's, which win over ours.
    """

    def __init__(self, body: Iterable[bytes] | None, headers: Mapping[str, str] | None = None) -> None:
        self._stream = body if isinstance(body, StreamBody) else None
        super().__init__(
            () if body is None else body, status=204 if body is None else 200, content_type=CONTENT_TYPE
        )
        self.headers["Connection"] = "keep-alive"
        self.headers["Cache-Control"] = "no-store, no-transform"
        self.headers["X-Accel-Buffering"] = "no"  # nginx would collect events otherwise
        for name, value in (headers or {}).items():
            self.headers[name] = value

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI application that this response is."""
        if environ["REQUEST_METHOD"] == "HEAD" or self.status_code == 204:
            return super().__call__(environ, start_response)
        # A client that waits to come back, or that has been sent away, would hold its connection for nothing.
        server = server_of(environ)
        closes = server.close_after(start_response)
        if self._stream is None:
            turn_away(server, environ)
            return super().__call__(environ, start_response)
        headers = self.get_wsgi_headers(environ).to_wsgi_list()
        body = self._stream.detach(environ, self.status, headers, closes=closes)
        if body is None:
            return super().__call__(environ, start_response)
        start_response(self.status, headers)
        return ClosingIterator(body, self.close)

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        """The headers for the server: without hop-by-hop ones, which PEP 3333 leaves to it."""
        headers = super().get_wsgi_headers(environ)
        for name in [name for name in headers.keys() if is_hop_by_hop(name)]:  # noqa: SIM118
            del headers[name]
        return headers
