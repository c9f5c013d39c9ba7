"""A reader of event streams, written from WHATWG HTML section 9.2.6 and from nothing of ours.

It follows the standard's text step by step, so that the tests hold our bytes against the standard
and not against our own reading of it. What the standard leaves to the browser (an empty `retry`) is ignored.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from typing import NamedTuple

BYTE_ORDER_MARK = "\ufeff"
LINE_BREAK = re.compile("\r\n|\n|\r")
ASCII_DIGITS = frozenset("0123456789")


class Dispatched(NamedTuple):
    """An event as a page's listener gets it."""

    type: str
    data: str
    last_event_id: str


class EventStreamParser:
    """Feed it bytes, cut anywhere.

    events:            what has been dispatched so far.
    last_event_id:     what a browser would send as `Last-Event-ID` if it reconnected now.
    reconnection_time: milliseconds, or None as long as the stream has set none.
    comments:          how many lines were comments, which a browser ignores: keep-alives are.
    """

    def __init__(self) -> None:
        self.events: list[Dispatched] = []
        self.last_event_id: str = ""
        self.reconnection_time: int | None = None
        self.comments: int = 0
        # "Streams must be decoded using the UTF-8 decode algorithm", which replaces what is malformed
        # and strips one leading byte order mark.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_start = True
        self._after_carriage_return = False
        self._line = ""
        self._data = ""
        self._event_type = ""
        self._last_event_id_buffer = ""

    def feed(self, chunk: bytes) -> list[Dispatched]:
        """The events that these bytes complete."""
        known = len(self.events)
        self._read(self._decoder.decode(chunk))
        return self.events[known:]

    def close(self) -> None:
        """The end of the stream: "any pending data must be discarded"."""
        self._read(self._decoder.decode(b"", final=True))
        self._line = self._data = self._event_type = ""

    def _read(self, text: str) -> None:
        if not text:
            return
        if self._at_start:
            self._at_start = False
            text = text.removeprefix(BYTE_ORDER_MARK)
        if self._after_carriage_return:
            text = text.removeprefix("\n")  # the second half of a CRLF
        self._after_carriage_return = text.endswith("\r")
        *lines, self._line = LINE_BREAK.split(self._line + text)
        for line in lines:
            self._process_line(line)

    def _process_line(self, line: str) -> None:
        if line == "":
            self._dispatch()
        elif line.startswith(":"):
            self.comments += 1
        elif ":" in line:
            field, _, value = line.partition(":")
            self._process_field(field, value.removeprefix(" "))
        else:
            self._process_field(line, "")

    def _process_field(self, field: str, value: str) -> None:
        if field == "event":
            self._event_type = value
        elif field == "data":
            self._data += value + "\n"
        elif field == "id":
            if "\0" not in value:
                self._last_event_id_buffer = value
        elif field == "retry" and value and ASCII_DIGITS.issuperset(value):
            self.reconnection_time = int(value)

    def _dispatch(self) -> None:
        self.last_event_id = self._last_event_id_buffer
        data, event_type = self._data, self._event_type
        self._data = self._event_type = ""
        if data:
            self.events.append(
                Dispatched(event_type or "message", data.removesuffix("\n"), self.last_event_id)
            )


def parse(*chunks: bytes) -> list[Dispatched]:
    """The events of a whole stream that came in these chunks."""
    return parsed(chunks).events


def parsed(chunks: Iterable[bytes]) -> EventStreamParser:
    """The parser itself, after a whole stream that came in these chunks."""
    parser = EventStreamParser()
    for chunk in chunks:
        parser.feed(chunk)
    parser.close()
    return parser
