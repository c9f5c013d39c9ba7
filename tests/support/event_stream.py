"""What comes over a connection: chunks of a body, frames of an event stream, and messages in them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from streamy_core import OPEN
from streamy_core.testing.event_stream import EventStreamParser

_FIELDS: Final = {"", "id", "event", "data", "retry"}
_LINE_BREAK: Final = re.compile("\r\n|\n|\r")


class Frame(NamedTuple):
    """What stood between two blank lines. None: there was no such field."""

    id: str | None
    name: str
    data: str | None
    retry: int | None
    comments: tuple[str, ...]

    @property
    def is_event(self) -> bool:
        """Whether it is an event after the opening."""
        return self.data is not None and self.name != OPEN


class Message(NamedTuple):
    """An event as a browser's listener gets it."""

    name: str
    data: str
    id: str


@lru_cache(maxsize=10_000)
def parse_frame(frame: bytes) -> Frame:
    """The frame, which is read as the standard says. Raises AssertionError if it is no frame of ours."""
    parser = EventStreamParser()
    dispatched = parser.feed(frame + b"\n\n")
    lines = [line.partition(":") for line in _LINE_BREAK.split(frame.decode())]
    names = {name for name, _, _ in lines}
    assert names <= _FIELDS, f"no fields of an event stream: {frame!r}"
    assert len(dispatched) <= 1, f"more than one frame: {frame!r}"
    return Frame(
        id=parser.last_event_id if "id" in names else None,
        name=dispatched[0].type if dispatched else "message",
        data=dispatched[0].data if dispatched else None,
        retry=parser.reconnection_time,
        comments=tuple(value.removeprefix(" ") for name, _, value in lines if not name),
    )


def parse_rest(rest: bytes) -> Frame:
    """What stands after the last blank line, as far as its lines are complete.

    Of these, a `retry:` acts at once, and the others as soon as a blank line comes.
    """
    return parse_frame(rest[: rest.rfind(b"\n") + 1].removesuffix(b"\n"))


@dataclass(slots=True)
class FrameReader:
    """Bytes in, frames and messages out; the opening is no message.

    last_event_id: of the last frame that was complete, whether or not it had data.
    rest:          what has come since.
    """

    frames: list[Frame] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    last_event_id: str = ""
    rest: bytes = b""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now."""
        *complete, self.rest = (self.rest + data).split(b"\n\n")
        found = [parse_frame(frame) for frame in complete]
        for frame in found:
            if frame.id is not None:
                self.last_event_id = frame.id
            if frame.is_event and frame.data is not None:
                self.messages.append(Message(frame.name, frame.data, self.last_event_id))
        self.frames += found
        return found


class WholeBody:
    """A body without chunks, as one is that only says when to come back.

    left: how many bytes are to come; None: as many as come before the close, which completes it.
    """

    def __init__(self, left: int | None) -> None:
        self._left = left

    @property
    def complete(self) -> bool:
        return not self._left

    @property
    def over(self) -> bool:
        """Whether nothing follows, though the connection may stay open."""
        return self._left == 0

    def feed(self, data: bytes) -> bytes:
        if self._left is not None:
            self._left -= len(data)
        return data


@dataclass(slots=True)
class ChunkedBody:
    """Bytes of a chunked body in, its content out (RFC 9112, section 7.1).

    complete: its last chunk has come.
    """

    complete: bool = False
    _pending: bytes = b""
    _left: int = 0

    @property
    def over(self) -> bool:
        """Whether nothing follows, though the connection may stay open."""
        return self.complete

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
