"""The streams that somebody asks for, and where to go on in each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..errors import InvalidStreamId
from ..events import check_stream_id
from ..ids import split_cursor

MAX_STREAMS: Final = 100
"""The most streams of one connection."""

StreamIds = str | Iterable[str]


def names_of(stream_ids: StreamIds) -> list[str]:
    """The streams' ids, each once, in order. Raises InvalidStreamId."""
    if not isinstance(stream_ids, Iterable):
        raise InvalidStreamId(f"a stream id is a str, or several of them, not {type(stream_ids).__name__}")
    names = [stream_ids] if isinstance(stream_ids, str) else list(dict.fromkeys(stream_ids))
    if not 1 <= len(names) <= MAX_STREAMS:
        raise InvalidStreamId(f"one connection reads 1 to {MAX_STREAMS} streams, not {len(names)}")
    return [check_stream_id(name) for name in names]


def wanted_of(names: list[str], after: str | None) -> dict[str, str | None]:
    """The cursor to go on after in each stream; None, "from now on", in one that `after` doesn't speak of."""
    wanted: dict[str, str | None] = dict.fromkeys(names)
    if after is not None:
        wanted.update(split_cursor(after, names))
    return wanted
