"""The bytes of an event stream (WHATWG HTML, section 9.2.5 and 9.2.6). Pure functions, no I/O.

Safe for any text: a line break in data becomes a further `data:` line; one where the format has no
place for it (a name, an id) is refused, never stripped, since stripping makes two values one.
"""

from __future__ import annotations

import re
from typing import Final

from .errors import InvalidEvent
from .events import OPEN, Event, check_retry

KEEP_ALIVE: Final = b": keep-alive\n\n"

# The format's own line breaks and no others: str.splitlines() would also split at U+2028, VT and FF.
_LINE_BREAK: Final = re.compile("\r\n|\n|\r")
_ID: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)


def encode_id(id: str) -> bytes:
    """The `id:` line. Raises InvalidEvent unless `id` is an id or a joint cursor."""
    if not _ID.fullmatch(id):
        raise InvalidEvent(f"an id consists of [A-Za-z0-9._-], not {id!r}")
    return b"id: %b\n" % id.encode("ascii")


def encode_body(event: Event) -> bytes:
    """All of an event's frame but its `id:` line."""
    data = event.data
    if "\n" in data or "\r" in data:
        data = "\ndata: ".join(_LINE_BREAK.split(data))
    retry = "" if event.retry is None else f"retry: {event.retry}\n"
    name = "" if event.name is None else f"event: {event.name}\n"
    return f"{retry}{name}data: {data}\n\n".encode()


def data_size(event: Event) -> int:
    """How many bytes the event's data is in a frame, where each line but the first has `data: ` before it."""
    data = event.data
    breaks = data.count("\n") + data.count("\r")
    return event.size + (6 * breaks - 7 * data.count("\r\n") if breaks else 0)


def encode_name(name: str) -> bytes:
    """The `event:` line that a connection puts before the body of an unnamed event.

    Raises InvalidEvent for a line break.
    """
    if _LINE_BREAK.search(name):
        raise InvalidEvent(f"an event's name can't hold a line break: {name!r}")
    return f"event: {name}\n".encode()


def encode_stream(stream_id: str) -> bytes:
    """The line that says which stream an event is of, in a field of our own: readers ignore those that they
    don't know (WHATWG HTML section 9.2.6).

    A stream id has no line breaks.
    """
    return f"stream: {stream_id}\n".encode()


def encode_retry(retry: int) -> bytes:
    """The line that sets how long the client waits before it reconnects, in milliseconds.

    It acts by itself. A blank line after it, on a connection that has had no id yet, would make a reader
    forget its place: it sets the last event ID to an empty one (WHATWG HTML section 9.2.6).
    """
    return b"retry: %d\n" % check_retry(retry)


def encode_last(retry: int) -> bytes:
    """The last frame for a client that has had its opening, and is to come back after so many milliseconds.

    With a blank line, for readers that heed nothing before one.
    """
    return encode_retry(retry) + b"\n"


def encode_opening(
    cursor: str, retry: int, keep_alive: float | None = None, until: float | None = None
) -> bytes:
    """A connection's first frame: the cursor it starts after, the reconnection time, and what else is known.

    An event with data, since some readers heed neither the id nor the time of a frame without any. From
    the oldest entry on there is no id to be told: who begins there has no place to forget.

    keep_alive: after how many seconds at most something comes; None: nobody knows.
    until: in how many seconds the right to read ends; None: nobody says.
    """
    place = encode_id(cursor) if cursor else b""
    known = (("keep_alive", keep_alive), ("until", until))
    told = ", ".join(f'"{name}": {seconds:g}' for name, seconds in known if seconds is not None)
    return place + encode_retry(retry) + f"event: {OPEN}\ndata: {{{told}}}\n\n".encode()
