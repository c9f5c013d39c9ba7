"""Ids and cursors: what they look like, and how one id line resumes many streams.

An id is `epoch.sequence.nonce`. The epoch tells one history of a backend from another, the
sequence number counts a stream's entries without holes, and the nonce tells apart two entries
that a failover gave the same number. Readers treat the whole as opaque.

The cursor of a connection that reads several streams is a *joint* cursor. First comes what its parts
have in common: a mark, which says how long tags are, and the epoch, after its length. Then, in the order
of tags, a part for each stream: a tag (a hash of the name), a number, and the cursor. The number is twice
the cursor's length; one more says that the epoch and the dot after it are left out. So a part stands by
itself: when a stream grows, its part changes, and all others stay. Tags are longer if the shorter ones of
two of the streams are the same. Saying the epoch once keeps ten streams of one epoch within 128 bytes,
beyond which browsers preflight a cross-origin reconnect (Fetch standard, CORS-safelisted request-header).
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Final, NamedTuple, Self

OLDEST: Final = ""
"""The cursor before the oldest entry that a log still has. Never a gap."""

UNPLACEABLE: Final = "0"
"""A cursor that no log can place: who comes back with it is told of a gap."""

ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
_VALUES: Final = {digit: value for value, digit in enumerate(_DIGITS)}
_PAIRS: Final = [first + second for first in _DIGITS for second in _DIGITS]
_SHORT: Final[list[str]] = [
    *_DIGITS[:62],
    *[first + second for first in _DIGITS[1:62] for second in _DIGITS[:62]],
]
_SHORTER_THAN: Final = len(_SHORT)
_TAGS: Final = {"_": 2, "-": 3, ".": 8}  # a joint cursor's first character, and the size of its tags
_MARKS: Final = {size: mark for mark, size in _TAGS.items()}
_LONGEST: Final = max(_MARKS)


def new_epoch() -> str:
    """A name for a new history: five letters and digits, 30 bits of chance. Any thread."""
    return encode_number(secrets.randbelow(62**5)).rjust(5, "0")


def new_nonce() -> str:
    """Three characters, 18 bits of the clock's chance. Any thread; forked processes get different ones."""
    # Not `random`, which an app may seed, and not the system's: a call that lets other threads in.
    bits = hash((time.monotonic_ns(), os.getpid())) & 0x3FFFF
    return _PAIRS[bits >> 6] + _DIGITS[bits & 63]


def make_id(epoch: str, sequence: int, nonce: str) -> str:
    """The id text of these three parts."""
    number = _SHORT[sequence] if sequence < _SHORTER_THAN else encode_number(sequence)
    return f"{epoch}.{number}.{nonce}"


def sequence_of(cursor: str) -> int | None:
    """The sequence number in `cursor`, or None if it is not an id made by `make_id`."""
    parts = cursor.split(".")
    if len(parts) != 3 or not 1 <= len(parts[1]) <= 11:
        return None
    if parts[1][0] == "0" and len(parts[1]) > 1:
        return None  # an id has one spelling: another one would be level with nobody
    return decode_number(parts[1])


def epoch_of(cursor: str) -> str | None:
    """The epoch in `cursor`, or None if it is not an id made by `make_id`."""
    return None if sequence_of(cursor) is None else cursor.partition(".")[0]


def encode_number(number: int) -> str:
    """A whole number of 0 or more, in base 62."""
    if number < _SHORTER_THAN:
        return _SHORT[number]
    number, digit = divmod(number, 62)
    return encode_number(number) + _DIGITS[digit]


def decode_number(text: str) -> int | None:
    """What `encode_number` encoded, or None."""
    if not text:
        return None
    number = 0
    for char in text:
        value = _VALUES.get(char, 62)
        if value >= 62:
            return None
        number = number * 62 + value
    return number


class Spelling(NamedTuple):
    """What the parts of a joint cursor have in common.

    size:  how many characters a tag has.
    epoch: the epoch that parts leave out; nothing if no two of them share one.
    """

    size: int
    epoch: str

    @classmethod
    def of(cls, cursors: Mapping[str, str]) -> Self:
        """That of these streams at these cursors: the shortest tags that differ, and the commonest epoch."""
        size = next((size for size in _TAGS.values() if _all_differ(cursors, size)), _LONGEST)
        epochs = Counter(epoch for cursor in cursors.values() if (epoch := epoch_of(cursor)) is not None)
        # Of two that are as common it is always the same one: one position has one spelling.
        count, epoch = max(((count, epoch) for epoch, count in epochs.items()), default=(0, ""))
        return cls(size, epoch if count > 1 else "")

    @property
    def front(self) -> str:
        """What stands before the parts."""
        return _MARKS[self.size] + _number(len(self.epoch)) + self.epoch

    def part(self, stream_id: str, cursor: str) -> str:
        """What stands for a stream that is at `cursor`."""
        shares = bool(self.epoch) and epoch_of(cursor) == self.epoch
        told = cursor[len(self.epoch) + 1 :] if shares else cursor
        return tag_of(stream_id, self.size) + _number(2 * len(told) + shares) + told


class JointCursor:
    """One token for the cursors of several streams, kept in pieces, of which one changes at a time.

    `str` of it is the token.
    """

    __slots__ = ("_cursors", "_front", "_parts", "_spelling")

    def __init__(self, cursors: Mapping[str, str]) -> None:
        self._cursors = dict(cursors)
        self._spell()

    def move(self, stream_id: str, cursor: str) -> None:
        """From now on this stream is at `cursor`."""
        before, self._cursors[stream_id] = self._cursors[stream_id], cursor
        if epoch_of(before) == epoch_of(cursor):
            self._parts[stream_id] = self._spelling.part(stream_id, cursor)
        else:
            self._spell()

    def __str__(self) -> str:
        return self._front + "".join(self._parts.values())

    def _spell(self) -> None:
        self._spelling = spelling = Spelling.of(self._cursors)
        self._front = spelling.front
        parts = {name: spelling.part(name, cursor) for name, cursor in self._cursors.items()}
        self._parts = dict(sorted(parts.items(), key=itemgetter(1)))


def join_cursors(cursors: Mapping[str, str]) -> str:
    """One token for the cursors of a connection: itself for one stream, a joint cursor for more."""
    return str(JointCursor(cursors)) if len(cursors) > 1 else next(iter(cursors.values()))


def is_joint(token: str) -> bool:
    """Whether this is a joint cursor, which speaks of several streams, and no id."""
    return token[:1] in _TAGS


def split_cursor(token: str, stream_ids: Iterable[str]) -> dict[str, str]:
    """The cursor of each stream in `stream_ids`, from a token that a client sent back.

    A stream that the token doesn't speak of is left out: the client has never read it. What isn't
    a token of ours becomes every stream's cursor, for the broker to find unplaceable.
    """
    names = list(stream_ids)
    size = _TAGS.get(token[:1])
    parts = None if size is None else _parse_joint(token, size)
    if size is None or parts is None:
        return dict.fromkeys(names, token)
    tags = {name: tag_of(name, size) for name in names}
    asked = Counter(tags.values())
    # Of two names with one tag, nothing tells which was meant: neither can be placed.
    return {name: parts[tag] if asked[tag] == 1 else token for name, tag in tags.items() if tag in parts}


def _parse_joint(token: str, size: int) -> dict[str, str] | None:
    parts: dict[str, str] = {}
    try:
        length, index = _read_number(token, 1)
        epoch, index = token[index : index + length] + ".", index + length
        while index < len(token):
            tag = token[index : index + size]
            number, index = _read_number(token, index + size)
            told = token[index : index + number // 2]
            index += number // 2
            if tag in parts or index > len(token):
                return None
            parts[tag] = epoch + told if number % 2 else told
    except (IndexError, KeyError):
        return None
    return parts or None


def tag_of(stream_id: str, size: int = 2) -> str:
    """So many characters that stand for a stream's name in a joint cursor."""
    digest = hashlib.blake2b(stream_id.encode("utf-8", "surrogatepass"), digest_size=size)
    return "".join([_DIGITS[byte & 63] for byte in digest.digest()])


def _all_differ(names: Iterable[str], size: int) -> bool:
    tags = [tag_of(name, size) for name in names]
    return len(set(tags)) == len(tags)


def _number(number: int) -> str:
    return _DIGITS[63] * (number // 63) + _DIGITS[number % 63]


def _read_number(token: str, index: int) -> tuple[int, int]:
    number = 0
    while (value := _VALUES[token[index]]) == 63:
        number, index = number + 63, index + 1
    return number + value, index + 1
