"""Whether the order of a stream's entries agrees with when they were appended and read."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from .changes import Change
from .contradictions import Contradiction, at
from .history import Call, Read
from .order import Order


def against_the_clock(
    order: Order, changes: Sequence[Change], reads: Sequence[Read], kept: int | None
) -> Iterator[Contradiction]:
    """Where the order, and what was read of it when, contradict each other.

    kept: how many entries are kept at least; None if more may be lost.
    """
    ends = [(read, place) for read in reads if (place := end_of(read, order)) is not None]
    yield from _out_of_order(order)
    yield from _torn(order, ends)
    yield from _stale(order, ends)
    yield from _lost(order, changes, ends)
    yield from _gaps(order, changes, reads, kept)


def end_of(read: Read, order: Order) -> int | None:
    """The place of the last entry that the read tells of, or -1 if that is none; None if nobody knows."""
    if not read.done or read.gap:
        return None
    last = read.next if read.ended else read.ids[-1] if read.ids else read.cursor
    if last in order.places:
        return order.places[last]
    return -1 if read.reaches_the_end and not last else None


def _out_of_order(order: Order) -> Iterator[Contradiction]:
    """If one change returned before another was called, it lies before that."""
    later: int | None = None  # that of the places passed which returned first
    for place in range(len(order.ids) - 1, -1, -1):
        here = order.moments[place]
        if later is not None and (there := order.moments[later]).returned < here.called:
            done, called = there.change.done, here.change.first
            assert done is not None
            same = f" (both by {called.who})" if called.who == done.who else ""
            yield Contradiction(
                f"{done} returned at {at(done.returned)}, before {called} was called at {at(called.called)}"
                f"{same}, but lies after it",
                (done, called),
            )
        if later is None or here.returned < order.moments[later].returned:
            later = place


def _torn(order: Order, ends: Iterable[tuple[Read, int]]) -> Iterator[Contradiction]:
    """The events of one append lie right after each other, and appear at once."""
    breaks = set(order.breaks)
    for place in range(1, len(order.ids)):
        one, other = order.moments[place - 1].change, order.moments[place].change
        if place not in breaks and not (
            _follows(order, place) or (_closes(order, place - 1) and _opens(order, place))
        ):
            yield Contradiction(
                f"{one.first} and {other.first} lie within each other: {order.parts[place - 1]!r} is "
                f"followed by {order.parts[place] or 'the end'!r}",
                (one.first, other.first),
            )
    for read, place in ends:
        if place >= 0 and read.ids and read.reaches_the_end and not _closes(order, place):
            first = order.moments[place].change.first
            yield Contradiction(
                f"{read.who} was told at {at(read.returned)} that {order.parts[place]!r} is the last entry, "
                f"but {first} has more: they are stored all or none",
                (first, read),
            )


def _follows(order: Order, place: int) -> bool:
    """Whether the entry here is the next of the same append as the one before."""
    change = order.moments[place].change
    if change is not order.moments[place - 1].change or change.is_end:
        return False
    return change.data.index(order.parts[place]) == change.data.index(order.parts[place - 1]) + 1


def _opens(order: Order, place: int) -> bool:
    return order.moments[place].change.is_end or order.moments[place].change.data[0] == order.parts[place]


def _closes(order: Order, place: int) -> bool:
    return order.moments[place].change.is_end or order.moments[place].change.data[-1] == order.parts[place]


class _Extremes:
    """Of what was known at which time: the place farthest on, among all that was known before a time."""

    def __init__(self, known: Iterable[tuple[float, int, Call]]) -> None:
        self._times: list[float] = []
        self._best: list[tuple[int, Call]] = []
        for time, place, call in sorted(known, key=lambda each: each[0]):
            if not self._best or place > self._best[-1][0]:
                self._times.append(time)
                self._best.append((place, call))

    def before(self, time: float) -> tuple[int, Call] | None:
        """The farthest place of all with earlier times, and the call that tells of it."""
        found = bisect_left(self._times, time)
        return self._best[found - 1] if found else None


def _farthest(order: Order) -> _Extremes:
    return _Extremes(
        (moment.returned, place, done)
        for place, moment in enumerate(order.moments)
        if (done := moment.change.done) is not None
    )


def _stale(order: Order, ends: Iterable[tuple[Read, int]]) -> Iterator[Contradiction]:
    """Who reads all there is gets whatever had been appended by then."""
    farthest = _farthest(order)
    for read, place in ends:
        if read.reaches_the_end and (found := farthest.before(read.called)) is not None and found[0] > place:
            done = found[1]
            yield Contradiction(
                f"{done} returned at {at(done.returned)}, but {read.who}, who was told at {at(read.returned)}"
                f" that there is no more to read, in a read called at {at(read.called)}, wasn't given it",
                (done, read),
            )


def _lost(
    order: Order, changes: Iterable[Change], ends: Iterable[tuple[Read, int]]
) -> Iterator[Contradiction]:
    """Each append that returned is there, or lies where nobody could read any more."""
    farthest = _farthest(order)
    # What begins after an append lies after it; and who reads all there is has passed it. As times and places
    # run the other way here, both are negative.
    after = [(-moment.called, -place, moment.change.first) for place, moment in enumerate(order.moments)]
    after += [(-read.called, -place, read) for read, place in ends if read.reaches_the_end]
    nearest = _Extremes(after)
    for change in changes:
        done = change.done
        if done is None or order.places.keys() >= set(change.ids):
            continue
        before, behind = farthest.before(change.called), nearest.before(-change.returned)
        least = 0 if before is None else before[0] + 1
        most = len(order.ids) if behind is None else -behind[0]
        place = bisect_left(order.breaks, least)
        if place == len(order.breaks) or order.breaks[place] > most:
            seen = [found[1] for found in (before, behind) if found is not None]
            yield Contradiction(
                f"{done} returned at {at(done.returned)}, but it isn't there: {_passed_by(behind)}",
                (done, *seen[-1:]),
            )


def _passed_by(found: tuple[int, Call] | None) -> str:
    if found is None:
        return "what lies before and after it follows each other without a gap"
    call = found[1]
    if isinstance(call, Read):
        return f"{call.who}, who read all there was at {at(call.called)}, has passed its place"
    return f"what was appended before it and after it, at {at(call.called)}, is there without a gap"


def _gaps(
    order: Order, changes: Sequence[Change], reads: Iterable[Read], kept: int | None
) -> Iterator[Contradiction]:
    """A gap leads on, and is told of nothing that is still kept."""
    called = sorted(change.called for change in changes for _ in change.data)
    returned = sorted(change.returned for change in changes for _ in change.data)
    for read in reads:
        if not read.gap:
            continue
        place, onward = order.places.get(read.cursor), order.places.get(read.next)
        if not read.cursor:
            yield Contradiction(
                f"{read.who} was told of a gap at {at(read.returned)}, but the oldest that is left is none",
                (read,),
            )
        elif place is not None and onward is not None and onward < place:
            yield Contradiction(
                f"{read.who} was told of a gap at {at(read.returned)} that leads back from {read.cursor} to "
                f"{read.next}, which lies before it",
                (read,),
            )
        elif kept is not None:
            since = 0 if place is None or place < 0 else order.moments[place].called
            itself = place is not None and place >= 0
            after = bisect_right(called, read.until) - bisect_right(returned, since) - itself
            if after < kept:
                yield Contradiction(
                    f"{read.who} was told of a gap at {at(read.returned)}, although at most {after} entries "
                    f"lay after {read.cursor}, and at least {kept} are kept",
                    (read,),
                )
