"""Appending to many streams: in slices, each by one call where the broker can do that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from ..broker import AppendsToMany, AppendsWithin, Broker, PartlyUnavailable
from ..errors import StreamEnded, StreamyError
from ..events import Event

Batches = Mapping[str, Sequence[Event]]
"""The events of each stream: of a broadcast the same object for all."""

_MOST_STREAMS: Final = 1_000
_MOST_BYTES: Final = 4 * 2**20
"""Of a call, with the event and the name once for each stream: some backends are sent it so often."""
_NAME_BYTES: Final = 4 * 255


class Progress:
    """What has come of a broadcast so far. For one thread.

    stored: the ids of what was stored, by stream.
    ended:  the streams that were left out because they have ended.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self.stored: dict[str, list[str]] = {}
        self.ended: set[str] = set()

    @property
    def left(self) -> list[str]:
        """The streams of which nothing is known."""
        return [name for name in self._names if name not in self.stored and name not in self.ended]

    @property
    def ids(self) -> dict[str, str]:
        """The id of each entry, by stream, in the order that was given."""
        return {name: ids[0] for name in self._names if (ids := self.stored.get(name))}

    def note(self, asked: Iterable[str], stored: Mapping[str, list[str]], *, all_told: bool = True) -> None:
        """These were stored. all_told: whether the others that were asked for have ended."""
        self.stored.update(stored)
        if all_told and len(stored) < len(asked := list(asked)):
            self.ended.update(name for name in asked if name not in stored)


def in_slices(batches: Batches) -> Iterator[Batches]:
    """What is to be appended, in lots that are not too much for one call."""
    lot: dict[str, Sequence[Event]] = {}
    left = _MOST_BYTES
    last: Sequence[Event] | None = None
    size = 0
    for name, events in batches.items():
        if events is not last:
            last, size = events, sum([event.size for event in events]) + _NAME_BYTES
        if lot and (left < size or len(lot) == _MOST_STREAMS):
            yield lot
            lot, left = {}, _MOST_BYTES
        lot[name] = events
        left -= size
    if lot:
        yield lot


def append_to_many(broker: Broker, batches: Batches, key: str | None, progress: Progress) -> None:
    """Append to those of the streams that nothing is known of, and note what comes of it.

    Raises BrokerUnavailable, once all that is known is noted.
    """
    known = {**progress.stored, **dict.fromkeys(progress.ended)} if progress.stored else {}
    left = {name: events for name, events in batches.items() if name not in known} if known else batches
    try:
        if isinstance(broker, AppendsToMany):
            progress.note(left, broker.append_to_many(left, idempotency_key=key))
        else:
            _one_by_one(lambda name: broker.append(name, left[name], idempotency_key=key), left, progress)
    except PartlyUnavailable as error:
        progress.note(left, error.stored, all_told=False)
        raise


def append_to_those_in_reach(broker: Broker, batches: Batches, key: str | None, progress: Progress) -> None:
    """As `append_to_many`, stream by stream and without errors: one that can't be written to keeps no other
    from it. Where a second can't be, none may be in reach, and the others are left."""
    failed = 0
    for name in progress.left:
        try:
            append_to_many(broker, {name: batches[name]}, key, progress)
        except StreamyError:
            failed += 1
            if failed > 1:
                return


def append_within(
    broker: AppendsWithin,
    session: Any,
    names: Sequence[str],
    events: Sequence[Event],
    key: str | None,
    progress: Progress,
) -> None:
    """Likewise, in the transaction that is under way in `session`. Raises what `append_within` does."""
    append = partial(broker.append_within, session, events=events, idempotency_key=key)
    _one_by_one(append, sorted(names), progress)  # so that two transactions don't wait for each other


def _one_by_one(append: Callable[[str], list[str]], names: Iterable[str], progress: Progress) -> None:
    for name in names:
        try:
            progress.note([name], {name: append(name)})
        except StreamEnded:
            progress.note([name], {})
