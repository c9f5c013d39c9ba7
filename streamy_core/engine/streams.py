"""The streams that somebody asks for."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import InvalidStreamId
from ..events import MAX_STREAMS, are_plain, check_stream_id

StreamIds = str | Iterable[str]


def names_of(stream_ids: StreamIds) -> list[str]:
    """The streams' ids, each once, in order. Raises InvalidStreamId."""
    names = any_names_of(stream_ids)
    if not 1 <= len(names) <= MAX_STREAMS:
        raise InvalidStreamId(f"one connection reads 1 to {MAX_STREAMS} streams, not {len(names)}")
    return names


def any_names_of(stream_ids: StreamIds) -> list[str]:
    """Likewise, however many there are."""
    given: object = stream_ids
    if not isinstance(given, Iterable) or _is_like_text(given):
        raise InvalidStreamId(f"a stream id is a str, or several of them, not {type(stream_ids).__name__}")
    several = [stream_ids] if isinstance(stream_ids, str) else stream_ids
    names = list(several)
    if not are_plain(names):
        names = [check_stream_id(name) for name in names]
    return list(dict.fromkeys(names))


def _is_like_text(value: object) -> bool:
    """Whether this is no str but passes for one, as a text that is translated late does: by its letters."""
    of_text = ("encode", "decode", "__html__")
    return not isinstance(value, str) and any(hasattr(value, name) for name in of_text)
