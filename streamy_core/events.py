"""The values that travel: events, entries, pages. Frozen, checked once when they are made."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeGuard, cast
from unicodedata import category

from .errors import InvalidEvent, InvalidStreamId
from .exact import exact_number, exact_text, exact_whole

MAX_STREAM_ID: Final = 255
MAX_STREAMS: Final = 100
"""The most streams of one connection."""

MAX_EVENT_NAME: Final = 255
MAX_RETRY_MS: Final = 2**31 - 1
MAX_META: Final = 1_024
"""The most bytes of an event's meta: its keys and values in UTF-8, all together."""

_SHOWN: Final = 50
"""Characters of a key that an error shows."""

RESERVED_PREFIX: Final = "streamy."
"""Event names that start so are Streamy's own and can't be published."""

CONTROL: Final = "\x1fstreamy.control"
"""The stream of Streamy's own orders to its processes; a name that no user's stream can have."""

CONNECTIONS: Final = "\x1fstreamy.connections"
"""The stream by which processes tell each other how many clients they have, which is only for now."""

LEASES: Final = "\x1fstreamy.leases"
"""The stream by which processes tell each other which runs they hold, and which to stop: only for now."""

CANARY: Final = "\x1fstreamy.canary."
"""What the names of those streams begin with by which processes find out whether they hear."""

DOCTOR: Final = "\x1fstreamy.doctor"
"""The stream to which `streamy doctor` publishes, to see whether that can be done."""

SUMMARIES: Final = "\x1fstreamy.summaries"
"""The stream on which processes tell their operator how they are doing: see `overview`."""

LOOKS: Final = "\x1fstreamy.looks"
"""The stream on which is told that somebody looks at those: each entry says that once."""

INTERNAL: Final = frozenset({CONTROL, CONNECTIONS, LEASES, DOCTOR, SUMMARIES, LOOKS})

OPEN: Final = "streamy.open"
"""The event that a connection begins with: its id is the reader's place before the first entry."""

GAP: Final = "streamy.gap"
"""The event that tells a reader that entries it never got are gone."""

END: Final = "streamy.end"
"""The event that tells a reader that its stream has ended for good."""

RUN: Final = "streamy.run"
"""The name of the entry that a run begins with, which readers aren't shown."""


def is_internal(stream_id: str) -> bool:
    """Whether this is a stream of Streamy's own, of which nobody is told."""
    return stream_id in INTERNAL or stream_id.startswith(CANARY)


def check_stream_id(stream_id: object) -> str:
    """Return `stream_id`, as a plain str, if it can name a stream.

    Raises InvalidStreamId unless it is text of 1 to 255 characters, none of them a control
    character (Unicode category Cc) or a lone surrogate.
    """
    name = stream_id if type(stream_id) is str else exact_text(stream_id)
    if name is None:
        raise InvalidStreamId(f"a stream id is a str, not {type(stream_id).__name__}")
    if not 1 <= len(name) <= MAX_STREAM_ID:
        raise InvalidStreamId(f"a stream id has 1 to {MAX_STREAM_ID} characters, not {len(name)}")
    if not (name.isascii() and name.isprintable()):
        for index, char in enumerate(name):
            if category(char) in ("Cc", "Cs"):
                kind = "control character" if category(char) == "Cc" else "lone surrogate"
                raise InvalidStreamId(f"stream id {name!r} has a {kind} at position {index}")
    return name


def are_plain(stream_ids: Sequence[object]) -> TypeGuard[Sequence[str]]:
    """Whether all of them can name streams, and are ASCII. If not, each is to be checked by itself.

    For many names it takes half as long as `check_stream_id` for each.
    """
    if set(map(type, stream_ids)) != {str}:
        return False
    names = cast("Sequence[str]", stream_ids)
    text = "".join(names)
    return text.isascii() and text.isprintable() and all(names) and max(map(len, names)) <= MAX_STREAM_ID


class Meta(Mapping[str, str]):
    """An event's meta, checked. Frozen, and equal to every mapping of the same texts.

    Raises InvalidEvent for what is no text, or holds NUL or a lone surrogate, for a key that is empty, and
    for more than 1,024 bytes.
    """

    __slots__ = ("_texts",)

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts: dict[str, str] = dict(_checked_meta(texts))
        if (size := meta_size(self._texts)) > MAX_META:
            raise InvalidEvent(
                f"an event's meta has at most {MAX_META:,} bytes of keys and values, not {size:,}: "
                "keep ids in it, and send the rest as data"
            )

    def __getitem__(self, key: str) -> str:
        return self._texts[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __hash__(self) -> int:
        return hash(frozenset(self._texts.items()))

    def __repr__(self) -> str:
        return repr(self._texts)


def meta_size(meta: Mapping[str, str]) -> int:
    """How many bytes of `MAX_META` these texts take."""
    return sum([len(key.encode()) + len(value.encode()) for key, value in meta.items()])


@dataclass(frozen=True, slots=True)
class Event:
    """What a user publishes.

    data:  the text, any length; line breaks are kept as line breaks (all become LF at the reader,
           by WHATWG HTML section 9.2.6).
    name:  the event's type; None leaves it to the reader's connection ("message" by default).
    retry: how long a browser waits before it reconnects, in milliseconds.
    expires: for how many seconds it is of use; who comes later isn't shown it, and 0 is for those who are
           there. None: for as long as it is kept. What is read back doesn't say.
    meta:  texts by their names that go along with it, such as the `traceparent` of a trace. They are kept
           with the entry, where the broker can (`KeepsMeta`), and read back; no client is ever sent them.
           None if there are none.

    Raises InvalidEvent for what can't be carried: NUL or a lone surrogate anywhere, a line break
    in the name, a name that is empty or over 255 characters, a retry that is no whole number from
    0 to 2**31 - 1, an `expires` that is no number of 0 or more, a meta that `Meta` doesn't take.
    """

    data: str
    name: str | None = None
    retry: int | None = None
    expires: float | None = None
    meta: Mapping[str, str] | None = None

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
            object.__setattr__(self, "retry", check_retry(self.retry))
        if self.expires is not None:
            object.__setattr__(self, "expires", check_expires(self.expires))
        if self.meta is not None and (type(self.meta) is not Meta or not self.meta):
            object.__setattr__(self, "meta", Meta(self.meta) or None)

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


class History(NamedTuple):
    """A part of a stream.

    entries: oldest first.
    cursor:  goes on right after them: for `after=`, or for the page.
    before:  asks for those that lie before them; None if none are left.
    """

    entries: tuple[Entry, ...]
    cursor: str
    before: str | None

    def as_json(self) -> dict[str, Any]:
        """As a view may return it: each entry has `id`, `stream`, `name` and `data`.

        data: as streamy.js gives it to the page: parsed if it is JSON, and text else.
        """
        entries = [
            {
                "id": entry.id,
                "stream": entry.stream_id,
                "name": entry.event.name,
                "data": _parsed(entry.event.data),
            }
            for entry in self.entries
        ]
        return {"entries": entries, "cursor": self.cursor, "before": self.before}


def read_json(text: str) -> Any:
    """What this JSON stands for. Raises ValueError, or RecursionError, for what is none (RFC 8259)."""
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> None:
    # Python writes NaN and infinities, but they are not JSON (RFC 8259 section 6), and no browser reads them.
    raise ValueError(f"{name} is not JSON")


def _parsed(text: str) -> Any:
    try:
        return read_json(text)
    except (ValueError, RecursionError):
        return text


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
    """Return `retry` (milliseconds), as a plain int, if it can stand in a `retry:` field.

    Raises InvalidEvent.
    """
    whole = exact_whole(retry)
    if whole is None or not 0 <= whole <= MAX_RETRY_MS:
        raise InvalidEvent(
            f"retry is a whole number of milliseconds from 0 to {MAX_RETRY_MS}, not {_shown(retry)}"
        )
    return whole


def check_expires(expires: object) -> float:
    """Return `expires` (seconds), as a plain float. Raises InvalidEvent."""
    seconds = exact_number(expires)
    if seconds is None or not 0 <= seconds < math.inf:
        raise InvalidEvent(f"expires is a number of seconds of 0 or more, not {_shown(expires)}")
    return seconds


def encode_meta(meta: Mapping[str, str]) -> str:
    """An event's meta as one line of text, for a backend to keep: JSON."""
    return json.dumps(dict(meta), ensure_ascii=False, separators=(",", ":"))


def decode_meta(text: str) -> Meta | None:
    """What `encode_meta` has made a line of. Raises ValueError for anything else."""
    try:
        return Meta(read_json(text)) or None
    except RecursionError:
        raise ValueError("its meta is too deep") from None


def _checked_meta(texts: object) -> Iterator[tuple[str, str]]:
    if not isinstance(texts, Mapping):
        raise InvalidEvent(f"an event's meta is a mapping of text to text, not {type(texts).__name__}")
    for given_key, given in cast("Mapping[object, object]", texts).items():
        key = _exact("meta key", given_key)
        if not key:
            raise InvalidEvent("an event's meta has no key that is empty")
        _check_text("meta key", key)
        field = f"meta {key[:_SHOWN]!r}"
        value = _exact(field, given)
        _check_text(field, value)
        yield key, value


def _shown(value: object) -> str:
    # A whole number may be too long to be shown: Python refuses beyond 4,300 digits.
    return type(value).__name__ if isinstance(value, int) and abs(value) > MAX_RETRY_MS else repr(value)


def _exact(field: str, value: object) -> str:
    text = exact_text(value)
    if text is None:
        raise InvalidEvent(f"an event's {field} is a str, not {type(value).__name__}{_cure(value)}")
    return text


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
