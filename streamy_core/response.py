"""The Flask response of an event stream: the only place that knows Flask's response."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from inspect import currentframe
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, overload
from wsgiref.util import is_hop_by_hop

from flask import Response, request
from werkzeug.datastructures import Headers
from werkzeug.wsgi import ClosingIterator

from .closeable import close_soon
from .delivery.delivery import Connection, Exchange, turn_away
from .delivery.servers import server_of
from .delivery.service import DeliveryService
from .delivery.session import Session
from .engine.byte_reader import ByteReader
from .errors import EndlessBody
from .exact import exact_text

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

CONTENT_TYPE: Final = "text/event-stream"  # always UTF-8 and without a charset: WHATWG HTML section 9.2.5

STARTED: Final = "streamy.started"
"""The key in a WSGI environ of when the request began, by `time.monotonic`."""

_FINISHED: Final = "streamy.finished"
"""The key in a WSGI environ that says that the app has made its response."""

_PLUMBING: Final = ("flask", "werkzeug", "streamy_core")
"""Packages that only pass on what somebody else asks of a response."""

_OF_BODIES: Final = ("__call__", "get_wsgi_response", "get_app_iter", "iter_encoded")
"""Methods by which a response class may do something to bodies."""


_OF_ONE_VALUE: Final = ("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials")
"""Headers that a browser takes for nothing if they are there twice."""


class StreamBody(Iterator[bytes]):
    """The body of a client's response. It takes up nothing before it is iterated, or detached.

    Iterating, by one thread at a time, delivers by that thread; `close`, by any, ends it.

    environ: of the client's request, if it came by one.
    owner:   what has to live as long as the body; it is kept for nothing else.
    """

    def __init__(
        self,
        service: DeliveryService,
        session: Session,
        reader: ByteReader,
        environ: WSGIEnvironment | None,
        owner: object = None,
    ) -> None:
        self._iterator: Iterator[bytes] | None = None
        self._closed = False
        self._service = service
        self._session = session
        self._reader = reader
        self._environ = environ
        self._owner = owner
        if environ is not None:
            server_of(environ).send_at_once(environ)
        self._connection = Connection.of(server_of(environ), environ)

    def __next__(self) -> bytes:
        if self._iterator is None:
            self._iterator = self._begin()
        return next(self._iterator)

    def __reduce__(self) -> Any:
        raise TypeError("an event stream can't be pickled: its view's response must not be cached")

    def detach(
        self,
        environ: WSGIEnvironment,
        status: str,
        headers: list[tuple[str, str]],
        *,
        closes: bool,
        left: Callable[[], object] | None = None,
    ) -> Iterable[bytes] | None:
        """Have the client served apart from its server, which gets this body; None: it has to deliver.

        closes: whether the server will close the connection after the response.
        left:   called once the client has left, if it is served apart.
        """
        if self._iterator is not None or self._closed:
            return None
        exchange = Exchange(self._connection.server, environ, status, headers, closes, left)
        return self._service.detach(self._session, self._reader, exchange)

    def close(self) -> None:
        """End it. Closing twice does nothing."""
        self._closed = True
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()

    def __del__(self) -> None:
        # A hook may have put it into a generator, which doesn't close what it iterates. Whoever drops the
        # last reference may hold any lock.
        if self._iterator is not None and not self._closed:
            close_soon(self._iterator.close)  # type: ignore[attr-defined]

    def _begin(self) -> Iterator[bytes]:
        if self._closed:
            return iter(())
        if self._environ is not None and _is_in_the_app(self._environ):
            raise endless_body()
        return self._service.body(self._session, self._reader, self._connection)


class EventStreamResponse(Response):
    """A response whose body is an event stream. It is delivered as hooks and extensions have left it.

    An app with a `response_class` of its own gets a subclass of both. Whoever asks for the whole body
    gets EndlessBody. A stream whose status isn't 200 any more has an empty body, since no browser
    reads another (WHATWG HTML section 9.2.3).

    body:    the bytes, or None for "204 No Content", upon which a browser reconnects no more
             (WHATWG HTML section 9.2.3).
    headers: the caller's, which win over ours.
    """

    _changes_bodies: ClassVar[bool] = False
    """Whether the app's own class does something to bodies: then the server has to deliver."""
    _closes_itself: ClassVar[bool] = False

    implicit_sequence_conversion: bool = False
    direct_passthrough: bool
    response: Iterable[str] | Iterable[bytes]

    def __init__(self, body: Iterable[bytes] | None, headers: Mapping[str, str] | None = None) -> None:
        self._stream = body if isinstance(body, StreamBody) else None
        super().__init__(
            () if body is None else body,
            status=204 if body is None else 200,
            headers={"Content-Type": CONTENT_TYPE},
        )
        # Hooks that read bodies go by it: it says that this one isn't to be touched.
        self.direct_passthrough = self._stream is not None
        self.headers["Connection"] = "keep-alive"
        self.headers["Cache-Control"] = "no-store, no-transform"
        self.headers["X-Accel-Buffering"] = "no"  # nginx would collect events otherwise
        for name, value in (headers or {}).items():
            self.headers[exact_text(name) or name] = exact_text(value) or value

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI application that this response is."""
        self.direct_passthrough = False  # what stands in the stream's place may be text
        untouched = self._stream is not None and self.response is self._stream
        if untouched and self.status_code != 200:
            self.response = ()
        streams = not self.is_sequence and environ["REQUEST_METHOD"] != "HEAD"
        # Who waits to come back, or has been sent away, would hold a connection for nothing.
        waits = self._stream is None and self.status_code == 200 and self.is_sequence
        if not streams and not waits:
            return super().__call__(environ, start_response)
        server = server_of(environ)
        closes = server.close_after(start_response)
        if waits:
            turn_away(server, environ)
        if self._stream is None or not untouched or self._changes_bodies:
            return super().__call__(environ, start_response)
        headers = self.get_wsgi_headers(environ).to_wsgi_list()
        left = self.close if self._on_close or self._closes_itself else None
        body = self._stream.detach(environ, self.status, headers, closes=closes, left=left)
        if body is None:
            return super().__call__(environ, start_response)
        start_response(self.status, headers)
        return ClosingIterator(body)

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        """The headers for the server: without hop-by-hop ones, which PEP 3333 leaves to it."""
        headers = super().get_wsgi_headers(environ)
        for name, value in list(headers):
            if is_hop_by_hop(name) or self._is_out_of_place(name.lower(), value):
                del headers[name]
            elif type(value) is not str:
                headers[name] = exact_text(value) or value
        for name in _OF_ONE_VALUE:  # an extension may have added what was there
            if len(values := headers.getlist(name)) > 1:
                headers[name] = values[0]
        return headers

    def close(self) -> None:
        """End the stream, also one that a hook has wrapped, and call what is to be called on close."""
        super().close()
        if self._stream is not None:
            self._stream.close()

    @overload
    def get_data(self, as_text: Literal[False] = False) -> bytes: ...

    @overload
    def get_data(self, as_text: Literal[True]) -> str: ...

    def get_data(self, as_text: bool = False) -> bytes | str:
        """The body, if it is no event stream any more. Raises EndlessBody otherwise."""
        self._check_ends()
        return super().get_data(True) if as_text else super().get_data()

    @property
    def data(self) -> bytes | str:
        """As `get_data` and `set_data`."""
        return self.get_data()

    @data.setter
    def data(self, value: bytes | str) -> None:
        self.set_data(value)

    def make_sequence(self) -> None:
        """Collect the body, if it is no event stream any more. Raises EndlessBody otherwise."""
        self._check_ends()
        super().make_sequence()

    def _is_out_of_place(self, name: str, value: str) -> bool:
        if name == "content-length":  # Werkzeug makes "None" of None, as hooks set it that ask for the length
            return not value.isdecimal()
        return name == "content-type" and self.status_code == 204

    def _check_ends(self) -> None:
        if not self.is_sequence:
            raise endless_body()


def response_type(base: type[Response]) -> type[EventStreamResponse]:
    """The type for an app whose `response_class` is `base`: Flask would else make one of it by force."""
    if issubclass(EventStreamResponse, base):
        return EventStreamResponse
    changes = any(getattr(base, name) is not getattr(Response, name) for name in _OF_BODIES)
    own = {
        "__module__": __name__,
        "_changes_bodies": changes,
        "_closes_itself": base.close is not Response.close,
    }
    return type(EventStreamResponse.__name__, (EventStreamResponse, base), own)


def endless_body() -> EndlessBody:
    """The error for whoever asks for the whole body, which it names."""
    frame: Any = currentframe()
    while frame is not None and _package(frame) in _PLUMBING:
        frame = frame.f_back
    if frame is None:
        return EndlessBody("somebody")
    code = frame.f_code
    return EndlessBody(
        f"{frame.f_globals.get('__name__')}.{code.co_qualname} ({code.co_filename}:{frame.f_lineno})"
    )


def _package(frame: Any) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def note_start(*_: object, **__: object) -> None:
    """Note when a request began: a command that comes later than that is for its client, too."""
    request.environ.setdefault(STARTED, time.monotonic())


def note_end(*_: object, **__: object) -> None:
    """Note that the app is through with a request: from now on its server asks for the body."""
    request.environ[_FINISHED] = True


def _is_in_the_app(environ: WSGIEnvironment) -> bool:
    """Whether the app still has this request: its view, or a hook, is what asks for the body."""
    return STARTED in environ and _FINISHED not in environ
