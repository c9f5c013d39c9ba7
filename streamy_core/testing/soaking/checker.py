"""Whether a history can be that of a sound broker. Pure, and in time n log n.

It is asked stream by stream: first what answers say by themselves, then whether all windows of a stream are
parts of one order, and then whether that order agrees with the clock. What an earlier question has found
wrong, later ones aren't asked about.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from .bells import unheard
from .changes import Change, changes_of, wrong_answers
from .clock import against_the_clock
from .contradictions import Contradiction, at
from .history import AWAY, Append, Call, End, History, Outage, Read, Tail, Work
from .order import Links, Order, order_of


def check(history: History) -> list[Contradiction]:
    """All contradictions, as far as they could be looked for. Any thread."""
    found = list(_wrong_faults(history))
    streams: defaultdict[str, Stream] = defaultdict(Stream)
    for call in history.calls:
        if (name := getattr(call, "stream", None)) is not None:
            streams[name].add(call)
    outages = [call for call in history.calls if isinstance(call, Outage)]
    orders: dict[str, Order] = {}
    for name, stream in streams.items():
        wrong = list(stream.contradictions(history.kept if not outages else None))
        found += wrong
        if not wrong:
            orders[name] = stream.order
    found += unheard(history, orders)
    return found


def _wrong_faults(history: History) -> Iterator[Contradiction]:
    for call in history.calls:
        if isinstance(call, Work):
            yield Contradiction(f"{call.who} didn't come to its end: {call.fault}", (call,))
        elif call.fault and not call.fault.startswith(AWAY) and not getattr(call, "refused", False):
            yield Contradiction(
                f"{call} by {call.who} raised {call.fault}: for a passing fault a broker raises "
                "BrokerUnavailable, and nothing else",
                (call,),
            )


@dataclass(slots=True)
class Stream:
    """The calls of one stream."""

    appends: list[Append] = field(default_factory=list[Append])
    ends: list[End] = field(default_factory=list[End])
    reads: list[Read] = field(default_factory=list[Read])
    tails: list[Tail] = field(default_factory=list[Tail])
    _order: Order | None = None

    def add(self, call: Call) -> None:
        """One more of its calls."""
        match call:
            case Append():
                self.appends.append(call)
            case End():
                self.ends.append(call)
            case Read():
                self.reads.append(call)
            case Tail():
                self.tails.append(call)
            case _:
                pass

    @property
    def order(self) -> Order:
        """The order of its entries, once `contradictions` has found none."""
        assert self._order is not None
        return self._order

    def contradictions(self, kept: int | None) -> list[Contradiction]:
        """Those of the first question that finds any.

        kept: how many entries the stream keeps at least; None if more may be lost.
        """
        changes = list(changes_of(self.appends))
        end = Change(self.ends) if self.ends else None
        entries = Entries()
        found = [wrong for change in changes for wrong in wrong_answers(change)]
        found += entries.learn(changes, self.reads)
        found += _about_the_end(end, changes, self.reads)
        if found:
            return found
        ends = {read.next for read in self.reads if read.ended}
        origins = self._origins()
        links = Links(entries.data, ends, origins)
        for change in changes:
            if isinstance(first := change.done, Append):
                links.add_append(first)
        for read in self.reads:
            links.add_read(read)
        if found := links.contradictions():
            return found
        by_id = dict(entries.changes)
        if end is not None:
            by_id.update(dict.fromkeys(ends, end))
        self._order = order_of(links, by_id, entries.data, origins)
        return list(against_the_clock(self._order, changes, self.reads, kept))

    def _origins(self) -> set[str]:
        """The cursors that somebody was given before the first append was called."""
        first = min([append.called for append in self.appends], default=0)
        return {tail.cursor for tail in self.tails if tail.done and tail.until < first}


class Entries:
    """What is known of each id: its data, and which change brought it."""

    def __init__(self) -> None:
        self.data: dict[str, str] = {}
        self.changes: dict[str, Change] = {}
        self._told: dict[str, Call] = {}
        self._ids: dict[str, str] = {}

    def learn(self, changes: list[Change], reads: list[Read]) -> Iterator[Contradiction]:
        """What appends and reads tell of ids."""
        by_data: dict[str, Change] = {}
        for change in changes:
            for data in change.data:
                by_data.setdefault(data, change)
            if isinstance(call := change.done, Append):
                for entry_id, data in zip(call.ids, call.data, strict=False):
                    yield from self._learn(entry_id, data, change, call)
        for read in reads:
            for entry_id, data in zip(read.ids, read.data, strict=True):
                if (appended := by_data.get(data)) is None:
                    yield Contradiction(
                        f"{read.who} read {data!r} ({entry_id}), which nobody has appended", (read,)
                    )
                elif (wrong := _too_early(read, data, appended)) is not None:
                    yield wrong
                else:
                    yield from self._learn(entry_id, data, self.changes.get(entry_id, appended), read)

    def _learn(self, id: str, data: str, change: Change, call: Call) -> Iterator[Contradiction]:
        known = self.data.setdefault(id, data)
        told = self._told.setdefault(id, call)
        self.changes.setdefault(id, change)
        if known != data:
            yield Contradiction(
                f"the id {id} is that of {known!r}, as {told.who} was told at {at(told.returned)}, and of "
                f"{data!r}, as {call.who} was told at {at(call.returned)}",
                (told, call),
            )
            return
        other = self._ids.setdefault(data, id)
        if other != id and self.changes[other] is change:
            told = self._told[other]
            yield Contradiction(
                f"{data!r} is stored twice: as {other}, as {told.who} was told at {at(told.returned)}, and "
                f"as {id}, as {call.who} was told at {at(call.returned)}",
                (*change.calls, told, call),
            )


def _too_early(read: Read, data: str, change: Change) -> Contradiction | None:
    if change.refused:
        return Contradiction(
            f"{change.first} was refused, as the stream had ended, at {at(change.first.returned)}; but "
            f"{read.who} read {data!r} at {at(read.returned)}",
            (change.first, read),
        )
    if read.until < change.called:
        return Contradiction(
            f"{read.who} read {data!r} at {at(read.returned)}, before anybody had appended it, at "
            f"{at(change.called)}",
            (read, change.first),
        )
    return None


def _about_the_end(end: Change | None, changes: list[Change], reads: list[Read]) -> Iterator[Contradiction]:
    """That the end is told as soon as it has come, and not before; and that nothing is taken after it."""
    began = None if end is None else end.called
    ended = None if end is None else end.done
    for read in reads:
        if read.ended and (began is None or read.until < began):
            yield Contradiction(
                f"{read.who} was told at {at(read.returned)} that the stream had ended, before anybody had "
                "ended it",
                (read,),
            )
        elif ended is not None and read.reaches_the_end and not read.ended and ended.until < read.called:
            yield Contradiction(
                f"end returned at {at(ended.returned)}, but {read.who}, who read all there was at "
                f"{at(read.called)}, wasn't told of it",
                (ended, read),
            )
    for call in [call for change in changes for call in change.calls]:
        if isinstance(call, Append) and call.refused and (began is None or call.until < began):
            yield Contradiction(
                f"{call} was refused at {at(call.returned)}, as the stream had ended, before anybody had "
                "ended it",
                (call,),
            )
    for change in changes if ended is not None else ():
        if ended is not None and ended.until < change.called and (done := change.done) is not None:
            yield Contradiction(
                f"end returned at {at(ended.returned)}, but {done}, called at {at(change.called)}, was taken",
                (ended, done),
            )
