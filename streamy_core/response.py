"""The Flask response of an event stream: the only place that knows Flask's response."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final
from wsgiref.util import is_hop_by_hop

from flask import Response
from werkzeug.datastructures import Headers
from werkzeug.wsgi import ClosingIterator

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    TakeOver = Callable[[WSGIEnvironment, str, list[tuple[str, str]]], Iterable[bytes] | None]

CONTENT_TYPE: Final = "text/event-stream"  # always UTF-8 and without a charset: WHATWG HTML section 9.2.5


class EventStreamResponse(Response):
    """A response whose body is an event stream.

    body:    the bytes, or None for "204 No Content", upon which a browser reconnects no more
             (WHATWG HTML section 9.2.3).
    headers: the caller's, which win over ours.
    take_over: tried when the server asks for the response, with environ, status and headers. What
             it returns, if not None, is the body that the server gets instead.
    """

    def __init__(
        self,
        body: Iterable[bytes] | None,
        headers: Mapping[str, str] | None = None,
        *,
        take_over: TakeOver | None = None,
    ) -> None:
        self._take_over = take_over
        super().__init__(body or (), status=204 if body is None else 200, content_type=CONTENT_TYPE)
        self.headers["Connection"] = "keep-alive"
        self.headers["Cache-Control"] = "no-store, no-transform"
        self.headers["X-Accel-Buffering"] = "no"  # nginx would collect events otherwise
        for name, value in (headers or {}).items():
            self.headers[name] = value

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI application that this response is."""
        if self._take_over is None or environ["REQUEST_METHOD"] == "HEAD":
            return super().__call__(environ, start_response)
        headers = self.get_wsgi_headers(environ).to_wsgi_list()
        body = self._take_over(environ, self.status, headers)
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
