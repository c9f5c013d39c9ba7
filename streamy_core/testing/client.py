"""A client for tests: it reads event streams of a Flask app, without a server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flask import Flask

from ..closeable import Closeable
from ..ids import OLDEST
from ..manager import EXTENSION, StreamManager
from .connection import Wsgi, in_process
from .event_source import EventStream
from .event_stream import Dispatched
from .reading import DEADLINE

__all__ = ["EventClient", "EventStream"]


class EventClient(Closeable):
    """Reads event streams of an app as browsers do. For one thread.

    manager: the name of the app's manager, for streams that are read by their names.
    headers: sent with each request, as those by which the app knows who it is.

    `reconnect`, `cut` and `wait_for` are for the stream that it has opened last.
    """

    def __init__(
        self, app: Flask, *, manager: str = "default", headers: Mapping[str, str] | None = None
    ) -> None:
        self._app = app
        self._manager = manager
        self._headers = dict(headers or {})
        self._open: list[Closeable] = []
        self._newest: EventStream | None = None

    def open(
        self, what: str, *, last_event_id: str | None = None, headers: Mapping[str, str] | None = None
    ) -> EventStream:
        """Connect. What is published once this has returned, the client gets.

        what:          a path of the app, like "/events?room=1"; or a stream's name, which is then
                       read from its oldest entry.
        last_event_id: as a browser sends it that comes back.

        Raises AssertionError if a path answers with something else than an event stream, or 204.
        """
        sent = {**self._headers, **(headers or {})}
        if last_event_id is not None:
            sent["Last-Event-ID"] = last_event_id
        is_path = what.startswith("/")
        connect = in_process(self._app.wsgi_app, what) if is_path else in_process(self._of_stream(what), "/")
        stream = self._newest = EventStream(what, connect, sent)
        self._open.append(stream)
        return stream

    def events(self, what: str, n: int, *, timeout: float = DEADLINE, **how: Any) -> list[Dispatched]:
        """Connect, read so many events, and leave: `open` and `EventStream.events`."""
        __tracebackhide__ = True
        with self.open(what, **how) as stream:
            return stream.events(n, timeout=timeout)

    def another(self, *, headers: Mapping[str, str] | None = None) -> EventClient:
        """A further client of the app, which leaves when this one does. headers: as for `EventClient`."""
        client = EventClient(self._app, manager=self._manager, headers=headers)
        self._open.append(client)
        return client

    def reconnect(self) -> None:
        """As `EventStream.reconnect`."""
        self._last.reconnect()

    def cut(self) -> None:
        """As `EventStream.cut`."""
        self._last.cut()

    def wait_for(self, event_type: str, *, timeout: float = DEADLINE) -> Dispatched:
        """As `EventStream.wait_for`."""
        __tracebackhide__ = True
        return self._last.wait_for(event_type, timeout=timeout)

    def close(self) -> None:
        """Leave all streams."""
        for opened in self._open:
            opened.close()

    @property
    def _last(self) -> EventStream:
        assert self._newest is not None, "this client has no stream yet: open one first"
        return self._newest

    def _of_stream(self, stream_id: str) -> Wsgi:
        managers = self._app.extensions.get(EXTENSION, {})
        assert self._manager in managers, f"the app has no StreamManager named {self._manager!r}"
        manager = managers[self._manager]
        assert isinstance(manager, StreamManager)

        def wsgi(environ: Any, start_response: Any) -> Iterable[bytes]:
            with self._app.request_context(environ):
                return manager.get_stream(stream_id, after=OLDEST)(environ, start_response)

        return wsgi
