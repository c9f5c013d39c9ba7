"""The values that travel: events, entries, pages. Frozen, checked once when they are made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple
from unicodedata import category

from .errors import InvalidEvent, InvalidStreamId

MAX_STREAM_ID: Final = 255
MAX_EVENT_NAME: Final = 255
MAX_RETRY_MS: Final = 2**31 - 1

RESERVED_PREFIX: Final = "streamy."
"""Event names that start so are Streamy's own and can't be published."""

CONTROL: Final = "\x1fstreamy.control"
"""The stream of Streamy's own orders to its processes; a name that no user's stream can have."""

GAP: Final = "streamy.gap"
"""The event that tells a reader that entries it never got are gone."""

END: Final = "streamy.end"
"""The event that tells a reader that its stream has ended for good."""


def check_stream_id(stream_id: object) -> str:
    """Return `stream_id` if it can name a stream.

    Raises InvalidStreamId unless it is a str of 1 to 255 characters, none of them a control
    character (Unicode category Cc) or a lone surrogate.
    """
    if not isinstance(stream_id, str):
        raise InvalidStreamId(f"a stream id is a str, not {type(stream_id).__name__}")
    if not 1 <= len(stream_id) <= MAX_STREAM_ID:
        raise InvalidStreamId(f"a stream id has 1 to {MAX_STREAM_ID} characters, not {len(stream_id)}")
    if not (stream_id.isascii() and stream_id.isprintable()):
        for index, char in enumerate(stream_id):
            if category(char) in ("Cc", "Cs"):
                kind = "control character" if category(char) == "Cc" else "lone surrogate"
                raise InvalidStreamId(f"stream id {stream_id!r} has a {kind} at position {index}")
    return stream_id


@dataclass(frozen=True, slots=True)
class Event:
    """What a user publishes.

    data:  the text, any length; line breaks are kept as line breaks (all become LF at the reader,
           by WHATWG HTML section 9.2.6).
    name:  the event's type; None leaves it to the reader's connection ("message" by default).
    retry: how long a browser waits before it reconnects, in milliseconds.

    Raises InvalidEvent for what can't be carried: NUL or a lone surrogate anywhere, a line break
    in the name, a name that is empty or over 255 characters, a retry that is no whole number from
    0 to 2**31 - 1.
    """

    data: str
    name: str | None = None
    retry: int | None = None

    def __post_init__(self) -> None:
        # What is only like a str may say of itself what it likes: from here on it is one.
        if type(self.data) is not str:
            object.__setattr__(self, "data", _exact("data", self.data))
        _check_text("data", self.data)
        if self.name is not None:
            if type(self.name) is not str:
                object.__setattr__(self, "name", _exact("name", self.name))
            _check_name(self.name)
        if self.retry is not None:
            check_retry(self.retry)

    @property
    def size(self) -> int:
        """Bytes of data, in UTF-8."""
        return len(self.data) if self.data.isascii() else len(self.data.encode())


@dataclass(frozen=True, slots=True)
class DamagedEvent(Event):
    """Stands in a page for an event that is stored and can't be read. Its readers are told of a gap.

    A broker never raises for such an entry, since the others of its page are sound.

    reason: why it can't be read, in a few words.
    """

    data: str = ""
    reason: str = ""


class Entry(NamedTuple):
    """An event in a log, with the id that its broker gave it."""

    id: str
    stream_id: str
    event: Event


class Page(NamedTuple):
    """What one read of one stream gives back.

    entries: in order, right after the cursor that was given.
    cursor:  where to read on.
    ended:   the stream has ended and `entries` are its last; `cursor` is then the end's own id.
    gap:     the given cursor could not be placed. Such a page comes alone, with no entries, no end
             and no more; its `cursor` is the one before the oldest entry that is left.
    more:    the page stops before the end of the log: there is more to read after `cursor`.
    damage:  why what is stored of the stream as a whole can't be read, if it can't.
    """

    entries: tuple[Entry, ...]
    cursor: str
    ended: bool = False
    gap: bool = False
    more: bool = False
    damage: str | None = None


def bounded(entries: Iterable[Entry], limit: int, max_bytes: int | None) -> tuple[Entry, ...]:
    """As many of these entries, from the first, as a page may hold; no more of them are asked for.

    limit:     the most entries.
    max_bytes: the most bytes of data, but for a first entry that has more by itself; None: any number.
    """
    taken: list[Entry] = []
    size = 0
    for entry in entries:
        size += entry.event.size
        if taken and max_bytes is not None and size > max_bytes:
            break
        taken.append(entry)
        if len(taken) >= limit:
            break
    return tuple(taken)


def check_retry(retry: object) -> int:
    """Return `retry` (milliseconds) if it can stand in a `retry:` field; raises InvalidEvent."""
    if type(retry) is not int or not 0 <= retry <= MAX_RETRY_MS:
        raise InvalidEvent(
            f"retry is a whole number of milliseconds from 0 to {MAX_RETRY_MS}, not {_shown(retry)}"
        )
    return retry


def _shown(value: object) -> str:
    # A whole number may be too long to be shown: Python refuses beyond 4,300 digits.
    return type(value).__name__ if isinstance(value, int) and abs(value) > MAX_RETRY_MS else repr(value)


def _exact(field: str, text: object) -> str:
    if not isinstance(text, str):
        raise InvalidEvent(f"an event's {field} is a str, not {type(text).__name__}{_cure(text)}")
    return str.__str__(text)


def _check_text(field: str, text: str) -> None:
    if "\0" in text:
        raise InvalidEvent(f"an event's {field} can't hold NUL (found at position {text.index(chr(0))})")
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidEvent(
                f"an event's {field} can't hold a lone surrogate (found at position {error.start}): "
                "it has no UTF-8 form"
            ) from None


def _check_name(name: str) -> None:
    _check_text("name", name)
    if not 1 <= len(name) <= MAX_EVENT_NAME:
        raise InvalidEvent(f"an event's name has 1 to {MAX_EVENT_NAME} characters, not {len(name)}")
    if "\n" in name or "\r" in name:
        raise InvalidEvent(f"an event's name can't hold a line break: {name!r}")


def _cure(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return ": decode it first, or send base64"
    return ""
