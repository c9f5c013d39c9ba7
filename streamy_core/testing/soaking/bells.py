"""Whether each change was heard of in time, by everybody who watched its stream."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from .clock import end_of
from .contradictions import Contradiction, at
from .history import Add, Call, History, Outage, Read, Wait
from .order import Order
from .plan import SECOND

_LEAST_SLACK, _MOST_SLACK = SECOND, 5 * SECOND
"""A loaded machine is late: so much beyond `Broker.rings_within` is forgiven in any case, and at most."""
_READING = SECOND // 10
"""Nanoseconds for which who reads what was named is soon back to wait for more."""
_RECOVERY = 2 * SECOND
"""Nanoseconds after an outage until which a watch may not hear again."""


def unheard(history: History, orders: Mapping[str, Order]) -> Iterator[Contradiction]:
    """The bells that were lost, or late.

    A watcher reads a stream whenever it is named. What such a read doesn't show has to be named again.
    """
    by_watch: defaultdict[str, list[Add | Read | Wait]] = defaultdict(list)
    for call in history.calls:
        if isinstance(call, Add | Read | Wait):
            by_watch[call.who].append(call)
    due = {name: Due(order) for name, order in orders.items()}
    outages = [call for call in history.calls if isinstance(call, Outage)]
    for calls in by_watch.values():
        waits = [call for call in calls if isinstance(call, Wait)]
        if waits:
            yield from Watching(waits, outages, history.rings_within).unheard(calls, orders, due)


class Due:
    """When the first of a stream's changes was due that lie after a place, or that returned after a time."""

    def __init__(self, order: Order) -> None:
        times = [(moment.returned, place) for place, moment in enumerate(order.moments)]
        self._from_place = [*reversed(list(accumulate(reversed(times), min)))]
        self._by_time = sorted(times)

    def after_place(self, place: int) -> tuple[float, int]:
        """The time when it returned, and its place; infinity if there is none."""
        return self._from_place[place + 1] if place + 1 < len(self._from_place) else (math.inf, -1)

    def after_time(self, time: int) -> tuple[float, int]:
        """Likewise."""
        found = bisect_right(self._by_time, (time, len(self._by_time)))
        return self._by_time[found] if found < len(self._by_time) else (math.inf, -1)


@dataclass(slots=True)
class _Heard:
    """A stream that is watched. place: how far it has been read; None: it hasn't been since it was added."""

    added: Add
    place: int | None = None


class Watching:
    """One watch, from its first wait to its last."""

    def __init__(self, waits: Sequence[Wait], outages: Sequence[Outage], rings_within: float) -> None:
        late = [wait.until - wait.called - round(wait.seconds * SECOND) for wait in waits]
        slack = min(max(_LEAST_SLACK, *late), _MOST_SLACK)
        self._within = round(rings_within * SECOND) + slack
        self._outages = outages
        self._last = waits[-1]
        self._began = [wait.called for wait in waits]
        back = [wait.until + _READING for wait in waits]
        self._over = [*map(min, back, self._began[1:]), waits[-1].until]
        self._waited = [
            0,
            *accumulate(over - began for began, over in zip(self._began, self._over, strict=True)),
        ]

    def unheard(
        self, calls: Sequence[Call], orders: Mapping[str, Order], due: Mapping[str, Due]
    ) -> Iterator[Contradiction]:
        """What it didn't hear of in time."""
        heard: dict[str, _Heard] = {}
        for call in calls:
            match call:
                case Add() if call.done and call.stream in orders:
                    heard.setdefault(call.stream, _Heard(call))
                case Read() if (
                    call.stream in heard and (place := end_of(call, orders[call.stream])) is not None
                ):
                    heard[call.stream].place = place
                case Wait():
                    for name in heard.keys() & set(call.named):
                        yield from self._late(name, heard[name], call, orders[name], due[name])
                case _:
                    pass
        for name, state in heard.items():
            yield from self._late(name, state, None, orders[name], due[name])

    def _late(
        self, name: str, heard: _Heard, named: Wait | None, order: Order, due: Due
    ) -> Iterator[Contradiction]:
        if heard.place is None:
            since, place = due.after_time(heard.added.until)
        else:
            since, place = due.after_place(heard.place)
        until = self._last.until if named is None else named.until
        if self._waiting(self._from(since, until), until) <= self._within:
            return
        done = order.moments[place].change.done
        assert done is not None
        after = "never named it again" if named is None else f"named it at {at(named.returned)} only"
        yield Contradiction(
            f"{done} on {name!r} returned at {at(done.returned)}, but the watch of {heard.added.who}, to "
            f"which the stream was added at {at(heard.added.returned)}, {after}, although it was waited for "
            f"until {at(until)}",
            (heard.added, done, *([named] if named else [])),
        )

    def _from(self, since: float, until: int) -> float:
        """When bells were due, if there were outages in between."""
        over = [each.until + _RECOVERY for each in self._outages if each.called < until]
        return max([since, *[end for end in over if end > since]])

    def _waiting(self, since: float, until: int) -> float:
        """Nanoseconds between these times in which somebody was waiting, or soon back."""
        return max(0.0, self._until(until) - self._until(since))

    def _until(self, time: float) -> float:
        wait = bisect_left(self._over, time)
        if wait == len(self._over):
            return self._waited[-1]
        return self._waited[wait] + max(0.0, time - self._began[wait])
