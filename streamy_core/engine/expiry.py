"""Events that are only for now.

A log keeps every entry, and its broker knows nothing of this: an event that expires is stored under a
name of Streamy's own, which says when, and what name the user gave. Who has come before that moment is
shown it; for who comes later it only moves the cursor on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..errors import InvalidEvent
from ..events import MAX_EVENT_NAME, RESERVED_PREFIX, Event
from ..ids import decode_number, encode_number

_PREFIX: Final = f"{RESERVED_PREFIX}until."
_DIGITS: Final = 9
_LATEST: Final = 62**_DIGITS - 1
"""In microseconds since 1970: in the year 2398."""

_LONGEST_NAME: Final = MAX_EVENT_NAME - len(_PREFIX) - _DIGITS - 1


def as_stored(event: Event, now: float) -> Event:
    """The event as the log keeps it. Raises InvalidEvent if its name is too long for that.

    now: when it is published, in seconds since 1970.
    """
    if event.expires is None:
        return event
    if event.name is not None and len(event.name) > _LONGEST_NAME:
        raise InvalidEvent(
            f"the name of an event that expires has at most {_LONGEST_NAME} characters, not {len(event.name)}"
        )
    until = round(min((now + event.expires) * 1e6, _LATEST))
    own = "" if event.name is None else f".{event.name}"
    return replace(event, name=f"{_PREFIX}{encode_number(until)}{own}", expires=None)


def as_published(event: Event) -> tuple[Event, float | None]:
    """The event as its publisher made it, and until when it is shown, in seconds since 1970; None: always.

    The time it was given isn't known any more.
    """
    if event.name is None or not event.name.startswith(_PREFIX):
        return event, None
    told, dot, own = event.name[len(_PREFIX) :].partition(".")
    until = decode_number(told) if len(told) <= _DIGITS else None
    if until is None or (dot and (not own or own.startswith(RESERVED_PREFIX))):
        return event, None
    return replace(event, name=own if dot else None), until / 1e6
