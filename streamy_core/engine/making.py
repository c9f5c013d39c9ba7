"""Turns what a user sends into events, and keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from ..errors import InvalidEvent
from ..events import RESERVED_PREFIX, Event, read_json
from ..exact import behind_proxy, exact_text
from ..wire import data_size
from .expiry import as_stored

_MAX_KEY: Final = 255
"""Characters of an idempotency key, which each backend keeps for a while."""

_MOST_PER_CHARACTER: Final = 7
"""Bytes that a character may be when it is sent: so many for a line break, four for others."""


class EventMaker:
    """See the module. Any thread.

    dumps:     makes JSON text of what isn't text.
    max_bytes: the most data in one event.
    keeps_meta: whether the broker keeps an event's meta, which else is left out.

    most_text: characters that any text may have in one event, whatever they are.
    """

    def __init__(self, dumps: Callable[[Any], str], max_bytes: int, *, keeps_meta: bool) -> None:
        self._dumps = dumps
        self._max_bytes = max_bytes
        self._keeps_meta = keeps_meta
        self.most_text: Final[int] = max_bytes // _MOST_PER_CHARACTER

    def event(
        self,
        data: Any,
        name: str | None = None,
        retry: int | None = None,
        expires: float | None = None,
        meta: Mapping[str, str] | None = None,
    ) -> Event:
        """The event for this data, as the log keeps it, or InvalidEvent. Nothing is stored."""
        if type(data) is str:
            return self.check(Event(data, name, retry, expires, meta))
        data = behind_proxy(data)
        if isinstance(data, str):
            text = data
        elif hasattr(data, "__html__"):  # such as a text that is translated only now
            text = data.__html__()
        elif isinstance(data, bytes | bytearray | memoryview):
            kind = type(data).__name__  # pyright: ignore[reportUnknownArgumentType] - memoryview of what?
            problem = f"an event's data is text or JSON, not {kind}: decode it first, or send base64"
            raise InvalidEvent(problem)
        else:
            try:
                text = self._dumps(data)
                if "NaN" in text or "Infinity" in text:
                    read_json(text)
            except (TypeError, ValueError, RecursionError) as error:
                raise InvalidEvent(f"this {type(data).__name__} has no JSON form: {error}") from error
        return self.check(Event(text, name, retry, expires, meta))

    def check(self, event: Event) -> Event:
        """The event as the log keeps it, if it may be published. Raises InvalidEvent."""
        if event.name is not None and event.name.startswith(RESERVED_PREFIX):
            raise InvalidEvent(
                f"event names that start with {RESERVED_PREFIX!r} are reserved: {event.name!r}"
            )
        if len(event.data) * _MOST_PER_CHARACTER > self._max_bytes:
            self._check_size(event)
        if event.meta is not None and not self._keeps_meta:
            event = replace(event, meta=None)
        return event if event.expires is None else as_stored(event, time.time())

    def _check_size(self, event: Event) -> None:
        if (size := data_size(event)) > self._max_bytes:
            breaks = "" if size == event.size else ", with seven for each line break"
            raise InvalidEvent(
                f"the event has {size:,} bytes of data{breaks}, more than the {self._max_bytes:,} that "
                "STREAMY_MAX_EVENT_BYTES allows: send a link to it, or raise the limit"
            )


def check_idempotency_key(key: object) -> str:
    """The key as plain text. Raises InvalidEvent for what can't be one."""
    text = exact_text(key)
    if text is None:
        raise InvalidEvent(f"an idempotency key is a str, not {type(key).__name__}")
    if len(text) > _MAX_KEY:
        raise InvalidEvent(
            f"an idempotency key has at most {_MAX_KEY} characters, not {len(text):,}: use a hash of it"
        )
    return text
