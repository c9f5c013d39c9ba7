"""What was done to one stream: each append once, however often it was repeated, and the end."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from .contradictions import Contradiction, at
from .history import Append, Call, End, Ids
from .plan import SECOND

_KEY_SECONDS: Final = 60
_KEY_APPENDS: Final = 1_000
"""For how long, and through how many appends, a key is remembered at least, as `Broker.append` promises."""


@dataclass(eq=False, slots=True)
class Change:
    """An append, with all its repetitions under one key; or the end of the stream, whoever ended it.

    It happened, if it did, at one moment between `called` and `returned`.
    """

    calls: list[Append] | list[End] = field(default_factory=list[Append])

    @property
    def called(self) -> int:
        return min(call.called for call in self.calls)

    @property
    def returned(self) -> float:
        """When it had certainly happened; infinity if nobody knows whether it has."""
        return min([call.until for call in self.calls if call.done], default=math.inf)

    @property
    def done(self) -> Call | None:
        """The first call that says that it has happened."""
        return min([call for call in self.calls if call.done], key=lambda call: call.until, default=None)

    @property
    def first(self) -> Call:
        return min(self.calls, key=lambda call: call.called)

    @property
    def data(self) -> tuple[str, ...]:
        return self.calls[0].data if isinstance(self.calls[0], Append) else ()

    @property
    def ids(self) -> Ids:
        return next((call.ids for call in self.calls if isinstance(call, Append) and call.done), ())

    @property
    def is_end(self) -> bool:
        return isinstance(self.calls[0], End)

    @property
    def refused(self) -> bool:
        """Whether it has certainly not happened."""
        return all(isinstance(call, Append) and call.refused for call in self.calls)

    def __str__(self) -> str:
        return str(self.first)


@dataclass(frozen=True, slots=True)
class Moment:
    """A change, with its times at hand."""

    change: Change
    called: int
    returned: float

    @classmethod
    def of(cls, change: Change) -> Moment:
        return cls(change, change.called, change.returned)


def changes_of(appends: Iterable[Append]) -> Iterator[Change]:
    """Each append of a stream, with those that repeated it."""
    by_key: defaultdict[str, list[Append]] = defaultdict(list)
    called: list[int] = []
    for append in appends:
        called.append(append.called)
        if append.key is None:
            yield Change([append])
        else:
            by_key[append.key].append(append)
    called.sort()
    for calls in by_key.values():
        yield from _split(sorted(calls, key=lambda call: call.called), called)


def _split(calls: list[Append], called: list[int]) -> Iterator[Change]:
    """A key may have been forgotten, and then what is called its repetition is another append."""
    group: list[Append] = []
    for call in calls:
        if group and call.ids not in ((), _ids_of(group)) and _may_be_forgotten(group[0], call, called):
            yield Change(group)
            group = []
        group.append(call)
    yield Change(group)


def _ids_of(calls: list[Append]) -> Ids:
    return next((call.ids for call in calls if call.done), ())


def _may_be_forgotten(first: Append, again: Append, called: list[int]) -> bool:
    since = bisect_right(called, first.called)
    between = bisect_left(called, again.until) - since
    return again.until - first.called > _KEY_SECONDS * SECOND or between >= _KEY_APPENDS


def wrong_answers(change: Change) -> Iterator[Contradiction]:
    """What is wrong with an append's answers in themselves."""
    done = [call for call in change.calls if isinstance(call, Append) and call.done]
    for call in done:
        if len(call.ids) != len(call.data):
            yield Contradiction(
                f"{call} has {len(call.data)} events, but was answered by {len(call.ids)} ids", (call,)
            )
        elif call.ids != done[0].ids:
            yield Contradiction(
                f"the key {call.key!r} was answered by {done[0].ids[0]} at {at(done[0].returned)}, but by "
                f"{call.ids[0]} at {at(call.returned)}: used again, a key returns the ids of the first time",
                (done[0], call),
            )
    first = min(done, key=lambda call: call.until, default=None)
    for call in [call for call in change.calls if isinstance(call, Append)]:
        if first is not None and call.refused and first.until < call.called:
            yield Contradiction(
                f"{first} returned at {at(first.returned)}, but its key was refused at {at(call.returned)}: "
                "a key is answered after the end of the stream, too",
                (first, call),
            )
