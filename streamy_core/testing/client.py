"""A client for tests: it reads event streams of a Flask app, without a server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from flask import Flask
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, run_wsgi_app

from ..closeable import Closeable
from ..events import OPEN
from ..ids import OLDEST
from ..manager import EXTENSION, OPENED, StreamManager
from ..response import StreamBody
from .event_stream import Dispatched, EventStreamParser
from .reading import DEADLINE


class EventClient(Closeable):
    """Reads event streams of an app as browsers do. For one thread.

    manager: the name of the app's manager, for streams that are read by their names.
    """

    def __init__(self, app: Flask, *, manager: str = "default") -> None:
        self._app = app
        self._manager = manager
        self._open: list[EventStream] = []

    def open(
        self, what: str, *, last_event_id: str | None = None, headers: dict[str, str] | None = None
    ) -> EventStream:
        """Connect. What is published once this has returned, the client gets.

        what:          a path of the app, like "/events?room=1"; or a stream's name, which is then
                       read from its oldest entry.
        last_event_id: as a browser sends it that comes back.

        Raises AssertionError if a path answers with something else than an event stream, or 204.
        """
        sent = dict(headers or {})
        if last_event_id is not None:
            sent["Last-Event-ID"] = last_event_id
        wsgi = self._app.wsgi_app if what.startswith("/") else self._of_stream(what)
        path = what if what.startswith("/") else "/"
        stream = EventStream(what, wsgi, path, sent)
        self._open.append(stream)
        return stream

    def events(self, what: str, n: int, *, timeout: float = DEADLINE, **how: Any) -> list[Dispatched]:
        """Connect, read so many events, and leave: `open` and `EventStream.events`."""
        __tracebackhide__ = True
        with self.open(what, **how) as stream:
            return stream.events(n, timeout=timeout)

    def close(self) -> None:
        """Leave all streams."""
        for stream in self._open:
            stream.close()

    def _of_stream(self, stream_id: str) -> Callable[..., Iterable[bytes]]:
        managers = self._app.extensions.get(EXTENSION, {})
        assert self._manager in managers, f"the app has no StreamManager named {self._manager!r}"
        manager = managers[self._manager]
        assert isinstance(manager, StreamManager)

        def wsgi(environ: Any, start_response: Any) -> Iterable[bytes]:
            with self._app.request_context(environ):
                return manager.get_stream(stream_id, after=OLDEST)(environ, start_response)

        return wsgi


class EventStream(Closeable):
    """One connection. A thread of its own reads what comes.

    status, headers: of the response.
    """

    def __init__(
        self, what: str, wsgi: Callable[..., Iterable[bytes]], path: str, headers: dict[str, str]
    ) -> None:
        self._what = what
        self._news = threading.Condition()
        self._parser = EventStreamParser()
        self._events: list[Dispatched] = []
        self._given = 0
        self._over = False
        self._iterable: Iterable[bytes] = ()
        self._stream: StreamBody | None = None
        environ = EnvironBuilder(path=path, headers=list(headers.items())).get_environ()
        environ[OPENED] = self._opened
        self._iterable, status, got = run_wsgi_app(wsgi, environ)
        self.headers: Headers = got
        self.status: int = int(status.split()[0])
        kind = self.headers.get("Content-Type", "")
        if self.status == 204:
            self._end()
        elif self.status != 200 or not kind.startswith("text/event-stream"):
            text = b"".join(self._iterable)[:200]
            self._end()
            raise AssertionError(f"{what} is no event stream, but {status}, {kind}: {text!r}")
        else:
            threading.Thread(target=self._read, name="streamy-event-client", daemon=True).start()
            with self._news:
                self._news.wait_for(lambda: self._parser.last_event_id or self._over, DEADLINE)

    def events(self, n: int, *, timeout: float = DEADLINE) -> list[Dispatched]:
        """The next so many events (type, data, last_event_id) after the opening. Fails after `timeout` s."""
        __tracebackhide__ = True
        end = time.monotonic() + timeout
        with self._news:
            self._news.wait_for(
                lambda: self._over or len(self._events) >= self._given + n, end - time.monotonic()
            )
            new = self._events[self._given : self._given + n]
        why = "and then the stream was over" if self._over else f"within {timeout:.0f} s"
        if len(new) < n:
            pytest.fail(f"{self._what} gave {len(new)} of {n} events, {why}: {new}")
        self._given += n
        return new

    def read_to_end(self, *, timeout: float = DEADLINE) -> list[Dispatched]:
        """All events until the server ends the connection. Fails after `timeout` seconds."""
        __tracebackhide__ = True
        with self._news:
            self._news.wait_for(lambda: self._over, timeout)
            new = self._events[self._given :]
        if not self._over:
            pytest.fail(f"{self._what} was not over within {timeout:.0f} s; it gave {new}")
        self._given += len(new)
        return new

    @property
    def last_event_id(self) -> str:
        """What a browser would send if it came back now."""
        return self._parser.last_event_id

    def close(self) -> None:
        """Leave, as a browser that is closed."""
        if self._stream is not None:
            self._stream.close()

    def _opened(self, body: StreamBody) -> None:
        self._stream = body

    def _read(self) -> None:
        try:
            for chunk in self._iterable:
                with self._news:
                    self._events += [event for event in self._parser.feed(chunk) if event.type != OPEN]
                    self._news.notify_all()
        finally:
            self._end()

    def _end(self) -> None:
        getattr(self._iterable, "close", lambda: None)()
        with self._news:
            self._over = True
            self._news.notify_all()
