"""A client of any server's event streams, whoever made them."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.parse
import urllib.request
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from typing import Any, Self

from streamy_core.events import END, RESERVED_PREFIX
from streamy_core.testing.event_stream import EventStreamParser
from streamy_core.testing.reading import DEADLINE, eventually


def messages_in(body: bytes) -> list[Any]:
    """The JSON of all events that the app has published."""
    events = EventStreamParser().feed(body)
    return [json.loads(event.data) for event in events if not event.type.startswith(RESERVED_PREFIX)]


class Reader:
    """Reads a stream on a thread of its own.

    status: of the answer; None as long as there is none.
    heard:  type and data of each event that has come, but for Streamy's own, in order.
    last_event_id: what a browser would come back with.
    end:    what `streamy.end` has told; None as long as it hasn't come.
    """

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        self.status: int | None = None
        self.heard: list[tuple[str, str]] = []
        self.ended = False
        self.end: Any = None
        self._parser = EventStreamParser()
        where = urllib.parse.urlsplit(url)
        self._connection = HTTPConnection(where.hostname or "", where.port, timeout=DEADLINE)
        self._connection.request("GET", f"{where.path}?{where.query}", headers=headers or {})
        self._socket = self._connection.sock  # which the connection forgets once there is an answer
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def last_event_id(self) -> str:
        return self._parser.last_event_id

    def events(self, count: int) -> list[tuple[str, Any]]:
        """Type and data of the first events, when so many have come; data that is JSON is read."""
        eventually(lambda: len(self.heard) >= count, f"{count} events")
        return [(kind, _value(data)) for kind, data in self.heard[:count]]

    def answers_within(self, seconds: float) -> bool:
        """Whether an answer that is no stream has come within this time."""
        self._thread.join(seconds)
        return self.status is not None

    def hears_within(self, seconds: float) -> bool:
        """Whether an event comes, or has come, within this time."""
        end = time.monotonic() + seconds
        while not self.heard and time.monotonic() < end:
            time.sleep(0.01)
        return bool(self.heard)

    def close(self) -> None:
        """Leave."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(DEADLINE)
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _read(self) -> None:
        with (
            suppress(OSError, HTTPException, ValueError),
            closing(self._connection.getresponse()) as response,
        ):
            self.status = response.status
            while chunk := response.read1():
                found = [event for event in self._parser.feed(chunk) if event.data]
                self.heard += [
                    (event.type, event.data) for event in found if not event.type.startswith(RESERVED_PREFIX)
                ]
                for event in found:
                    if event.type == END:
                        self.end = json.loads(event.data)
        self.ended = True


def ask(url: str, method: str | None = None, body: bytes | None = None, **form: str) -> str:
    """The body of the answer, which has to be a 200."""
    data = urllib.parse.urlencode(form).encode() if form else body
    with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=DEADLINE) as answer:
        return str(answer.read().decode())


def _value(data: str) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data
