"""A small parser of event streams and of chunked bodies, independent of the code under test."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple


class Message(NamedTuple):
    """An event as a browser's listener gets it."""

    name: str
    data: str
    id: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What stood between two blank lines. None: there was no such field."""

    id: str | None
    name: str | None
    data: str | None
    retry: int | None
    comments: tuple[str, ...]


@dataclass(slots=True)
class StreamParser:
    """Bytes in, frames and messages out (WHATWG HTML, section 9.2.6).

    last_event_id: of the last frame that was complete, whether or not it had data.
    """

    frames: list[Frame] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    last_event_id: str = ""
    _pending: bytes = b""
    _fields: list[tuple[str, str]] = field(default_factory=list)

    def feed(self, data: bytes) -> None:
        self._pending += data
        # A CR at the very end may be half of a CRLF.
        while found := re.search(rb"\r\n|\n|\r(?=[^\n])", self._pending):
            line, self._pending = self._pending[: found.start()], self._pending[found.end() :]
            self._line(line.decode())

    def _line(self, line: str) -> None:
        if line:
            name, _, value = line.partition(":")
            self._fields.append((name, value.removeprefix(" ")))
        elif self._fields:
            frame = self._frame()
            self._fields.clear()
            self.frames.append(frame)
            self.last_event_id = self.last_event_id if frame.id is None else frame.id
            if frame.data is not None:
                self.messages.append(Message(frame.name or "message", frame.data, self.last_event_id))

    def _frame(self) -> Frame:
        last = dict(self._fields)
        data = [value for name, value in self._fields if name == "data"]
        unknown = last.keys() - {"", "id", "event", "data", "retry"}
        assert not unknown, f"no fields of an event stream: {self._fields}"
        return Frame(
            id=last.get("id"),
            name=last.get("event"),
            data="\n".join(data) if data else None,
            retry=int(last["retry"]) if "retry" in last else None,
            comments=tuple(value for name, value in self._fields if name == ""),
        )


@dataclass(slots=True)
class ChunkedBody:
    """Bytes of a chunked body in, its content out (RFC 9112, section 7.1).

    complete: its last chunk has come.
    """

    complete: bool = False
    _pending: bytes = b""
    _left: int = 0

    def feed(self, data: bytes) -> bytes:
        self._pending += data
        content = b""
        while not self.complete:
            if self._left:
                part, self._pending = self._pending[: self._left], self._pending[self._left :]
                content += part
                self._left -= len(part)
                if self._left:
                    return content
            # What is left of a chunk is its CRLF; without it, the next chunk's size can't be read.
            found = re.match(rb"(?:\r\n)?([0-9A-Fa-f]+)[^\r\n]*\r\n", self._pending)
            if found is None:
                return content
            self._pending = self._pending[found.end() :]
            self._left = int(found[1], 16)
            self.complete = self._left == 0
        return content
