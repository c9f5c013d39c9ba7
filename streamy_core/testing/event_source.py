"""What a page has: an event stream that is read, cut off, and come back to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import pytest
from werkzeug.datastructures import Headers

from ..closeable import Closeable
from ..events import END, GAP, OPEN
from .connection import Connect, Line
from .event_stream import Dispatched, EventStreamParser
from .reading import DEADLINE

_SHORT: Final = {"gap": GAP, "end": END}


class EventStream(Closeable):
    """Reads an event stream, as a page's `EventSource` does. A thread of its own reads what comes.

    status, headers: of the newest response.
    """

    def __init__(self, what: str, connect: Connect, headers: Mapping[str, str]) -> None:
        self._what = what
        self._connect = connect
        self._sent = dict(headers)
        self._news = threading.Condition()
        self._parser = EventStreamParser()
        self._events: list[Dispatched] = []
        self._given = 0
        self._last_event_id = ""
        self._retry: int | None = None
        self._keep_alives = 0
        self._line: Line | None = None
        self._cut_off: list[Line] = []
        self._open(self._sent)

    def events(self, n: int, *, timeout: float = DEADLINE) -> list[Dispatched]:
        """The next so many events (type, data, last_event_id) after the opening. Fails after `timeout` s."""
        __tracebackhide__ = True
        self._wait(lambda: self._over or len(self._events) >= self._given + n, timeout)
        new = self._events[self._given : self._given + n]
        if len(new) < n:
            pytest.fail(f"{self._what} gave {len(new)} of {n} events, {self._why(timeout)}: {new}")
        self._given += n
        return new

    def wait_for(self, event_type: str, *, timeout: float = DEADLINE) -> Dispatched:
        """The next event of this type; those before it are passed over.

        event_type: as a page listens to it; "gap" and "end" are short for `streamy.gap` and `streamy.end`.
        timeout:    in seconds.

        Raises AssertionError, with what came instead, if none comes in time, or the stream is over.
        """
        __tracebackhide__ = True
        wanted = _SHORT.get(event_type, event_type)

        def found() -> int | None:
            new = enumerate(self._events[self._given :], self._given)
            return next((place for place, event in new if event.type == wanted), None)

        self._wait(lambda: self._over or found() is not None, timeout)
        if (place := found()) is None:
            came = _told(self._events[self._given :])
            raise AssertionError(f"{self._what} gave no {wanted}, {self._why(timeout)}, but {came}")
        self._given = place + 1
        return self._events[place]

    def wait_for_keep_alive(self, *, timeout: float = DEADLINE) -> None:
        """Wait for a keep-alive that hasn't been waited for yet. Raises AssertionError after `timeout` s."""
        __tracebackhide__ = True
        self._wait(lambda: self._over or self._keep_alives > 0, timeout)
        if not self._keep_alives:
            came = _told(self._events[self._given :])
            raise AssertionError(f"{self._what} gave no keep-alive, {self._why(timeout)}, but {came}")
        self._keep_alives -= 1

    def read_to_end(self, *, timeout: float = DEADLINE) -> list[Dispatched]:
        """All events until the server ends the connection. Fails after `timeout` seconds."""
        __tracebackhide__ = True
        self._wait(lambda: self._over, timeout)
        new = self._events[self._given :]
        if not self._over:
            pytest.fail(f"{self._what} was not over within {timeout:g} s; it gave {new}")
        self._given += len(new)
        return new

    def reconnect(self) -> None:
        """Come back with the last id that was seen, as a browser does, and read on.

        What is published once this has returned, the client gets. Leaves first, if it is still connected.
        After the end of its streams it gets a 204, and nothing more.

        Raises AssertionError if the answer is neither an event stream nor 204.
        """
        if self._line is not None:
            self._line.leave()
        headers = dict(self._sent)
        if self._last_event_id:
            headers["Last-Event-ID"] = self._last_event_id
        self._open(headers)

    def cut(self) -> None:
        """Have the connection break, as a network does: nothing more comes, and nobody tells the app.

        It finds out when it next writes to this client, as behind a real server.
        """
        if self._line is not None:
            self._line.cut()
            self._cut_off.append(self._line)
            self._line = None

    def close(self) -> None:
        """Leave, as a browser that is closed."""
        for line in (*self._cut_off, self._line):
            if line is not None:
                line.leave()

    @property
    def last_event_id(self) -> str:
        """What a browser would send if it came back now."""
        return self._last_event_id

    @property
    def retry(self) -> int | None:
        """How long a browser would wait before it comes back, in milliseconds; None: nobody has said."""
        return self._retry

    @property
    def _over(self) -> bool:
        return self._line is None or self._line.over

    def _open(self, headers: Mapping[str, str]) -> None:
        self._line = None
        arrived = self._connect(headers)
        self.headers: Headers = arrived.headers
        self.status: int = int(arrived.status.split()[0])
        kind = arrived.headers.get("Content-Type", "")
        if self.status == 204:
            _end(arrived.chunks)
        elif self.status != 200 or not kind.startswith("text/event-stream"):
            text = b"".join(arrived.chunks)[:200]
            _end(arrived.chunks)
            raise AssertionError(f"{self._what} is no event stream, but {arrived.status}, {kind}: {text!r}")
        else:
            self._parser = EventStreamParser()
            self._keep_alives = 0
            self._line = Line(arrived, self._news, self._got(self._parser))
            self._wait(lambda: self._parser.last_event_id or self._over, DEADLINE)

    def _got(self, parser: EventStreamParser) -> Callable[[bytes], None]:
        """Takes what comes over one connection; what comes late over an earlier one is nobody's."""

        def got(chunk: bytes) -> None:
            if parser is not self._parser:
                return
            before = parser.comments
            self._events += [event for event in parser.feed(chunk) if event.type != OPEN]
            self._keep_alives += parser.comments - before
            self._last_event_id = parser.last_event_id or self._last_event_id
            if parser.reconnection_time is not None:
                self._retry = parser.reconnection_time

        return got

    def _wait(self, condition: Callable[[], object], timeout: float) -> None:
        end = time.monotonic() + timeout
        with self._news:
            self._news.wait_for(condition, end - time.monotonic())

    def _why(self, timeout: float) -> str:
        return "and then the stream was over" if self._over else f"within {timeout:g} s"


def _told(events: list[Dispatched]) -> str:
    return ", ".join(f"{event.type} {event.data!r:.80}" for event in events) or "nothing else"


def _end(chunks: Iterable[bytes]) -> None:
    getattr(chunks, "close", lambda: None)()
