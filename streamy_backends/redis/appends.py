"""What the script `append` answers, of one stream or of many: see append.lua."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from redis.exceptions import ResponseError

from streamy_core.broker import (
    BrokerUnavailable,
    Duplicate,
    Event,
    PartlyUnavailable,
    make_id,
    new_nonce,
)

from .entries import encode, text_of
from .scripts import FAILED, unavailable

_STREAMS_IN_A_SCRIPT: Final = 100
"""That are appended to by one: nobody else is served meanwhile, which is a millisecond or two."""


class Appended(NamedTuple):
    """What has been stored in a stream.

    ids:    its ids, a Duplicate if they were stored before.
    others: how many entries others have said that it keeps; 0 if none has.
    """

    ids: list[str]
    others: int


def appended_of(reply: Any) -> Appended | None:
    """What an answer for one stream means; None if it has ended. Raises BrokerUnavailable, ConfigError.

    reply: may be the BrokerUnavailable that there is in its place.
    """
    if isinstance(reply, BrokerUnavailable):
        raise reply
    outcome, _, told = text_of(reply).partition(" ")
    if outcome == "ended":
        return None
    if outcome == FAILED:
        raise unavailable(ResponseError(told))
    epoch, before, nonce, count, *others = told.split(" ")
    sequence = int(before)
    ids = [make_id(epoch, sequence + n, nonce) for n in range(1, int(count) + 1)]
    return Appended(Duplicate(ids) if outcome == "known" else ids, int(others[0]) if others else 0)


def in_lots(batches: Mapping[str, Sequence[Event]], *, clustered: bool) -> list[tuple[list[str], list[str]]]:
    """What streams are to get, encoded, and those streams: lots for one script each. None of no events."""
    found: dict[int, tuple[Sequence[Event], list[str]]] = {}
    for name, events in batches.items():
        if events:
            found.setdefault(id(events), (events, []))[1].append(name)
    # On a cluster a script's keys have to be of one slot, and so of one stream.
    size = 1 if clustered else _STREAMS_IN_A_SCRIPT
    encoded = [(encode(events, new_nonce()), names) for events, names in found.values()]
    return [
        (texts, names[first : first + size])
        for texts, names in encoded
        for first in range(0, len(names), size)
    ]


def by_stream(lots: Sequence[Sequence[str]], replies: Sequence[Any]) -> dict[str, Any]:
    """What was answered for each stream, by the answers for its lot."""
    found: dict[str, Any] = {}
    for lot, reply in zip(lots, replies, strict=True):
        if isinstance(reply, BrokerUnavailable | str | bytes):
            found.update(dict.fromkeys(lot, reply))
        else:
            found.update(zip(lot, reply, strict=True))
    return found


def stored_of(
    replies: Mapping[str, Any], ids_of: Callable[[str, Any], list[str] | None]
) -> dict[str, list[str]]:
    """What was stored in each stream, but for those that have ended.

    ids_of: gives the ids that an answer for a stream means; None if that has ended.

    Raises PartlyUnavailable; BrokerUnavailable where nothing was stored.
    """
    stored: dict[str, list[str]] = {}
    fault: BrokerUnavailable | None = None
    for name, reply in replies.items():
        try:
            ids = ids_of(name, reply)
        except BrokerUnavailable as error:
            fault = error
        else:
            if ids is not None:
                stored[name] = ids
    if fault is not None:
        raise PartlyUnavailable(stored, fault) if stored else fault
    return stored
