"""Appending to many streams: in slices, each by one call where the broker can do that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from ..broker import AppendsToMany, AppendsWithin, Broker, PartlyUnavailable
from ..errors import StreamEnded
from ..events import Event

Stored = dict[str, list[str]]
"""The ids of what was stored, by stream."""

_MOST_STREAMS: Final = 1_000
_MOST_BYTES: Final = 4 * 2**20
"""Of a call, with the event once for each stream: some backends are sent it so often."""


def slices(names: Sequence[str], event: Event) -> Iterator[Sequence[str]]:
    """The streams in lots that are not too much for one call."""
    size = max(1, min(_MOST_STREAMS, _MOST_BYTES // (event.size + 1)))
    for start in range(0, len(names), size):
        yield names[start : start + size]


def append_to_many(
    broker: Broker, names: Sequence[str], events: Sequence[Event], key: str | None, stored: Stored
) -> None:
    """Append to those of the streams that aren't in `stored`, and note there what was stored.

    One that has ended is left out. Raises BrokerUnavailable, once `stored` has what is known.
    """
    left = [name for name in names if name not in stored] if stored else names
    try:
        if isinstance(broker, AppendsToMany):
            stored.update(broker.append_to_many(left, events, idempotency_key=key))
        else:
            _one_by_one(partial(broker.append, events=events, idempotency_key=key), left, stored)
    except PartlyUnavailable as error:
        stored.update(error.stored)
        raise


def append_within(
    broker: AppendsWithin,
    session: Any,
    names: Sequence[str],
    events: Sequence[Event],
    key: str | None,
    stored: Stored,
) -> None:
    """Likewise, in the transaction that is under way in `session`. Raises what `append_within` does."""
    # Sorted, so that two transactions don't wait for each other.
    _one_by_one(
        lambda name: broker.append_within(session, name, events, idempotency_key=key), sorted(names), stored
    )


def _one_by_one(append: Callable[[str], list[str]], names: Sequence[str], stored: Stored) -> None:
    """Append by a call for each stream; one that has ended is left out."""
    for name in names:
        with suppress(StreamEnded):
            stored[name] = append(name)
