"""Brokers that each break one promise of bounds, of `more`, of many streams at once, or of duplicates."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate, islice
from typing import Any

from streamy_backends.memory import MemoryBroker
from streamy_core import Event
from streamy_core.broker import Duplicate, Page

from .broken import Bound, Ids, Pages, PagesItsOwnWay


class IgnoresMaxBytes(MemoryBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return super().read(cursors, limit)


class IgnoresTheLimitWithinItsBytes(MemoryBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return super().read(cursors, limit if max_bytes is None else 1_000, max_bytes)


class GivesEachStreamAllBytes(MemoryBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return super().read(cursors, limit, max_bytes and max_bytes * len(cursors))


class GivesAllBytesToWhoComesFirst(MemoryBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        pages = {}
        for name, cursor in cursors.items():
            pages |= super().read({name: cursor}, limit, max_bytes)
            if max_bytes is not None:
                max_bytes -= sum(entry.event.size for entry in pages[name].entries)
        return pages


class CutsPagesItsOwnWay(MemoryBroker):
    """A base: `cut` says how many of these events are in a page of so many bytes."""

    def _page(self, stream_id: str, cursor: str, limit: int, max_bytes: Bound, now: float) -> Page:
        whole = super()._page(stream_id, cursor, limit, None, now)
        if max_bytes is None or not whole.entries:
            return whole
        entries = whole.entries[: self.cut([entry.event for entry in whole.entries], max_bytes)]
        if len(entries) == len(whole.entries):
            return whole
        return Page(entries, entries[-1].id if entries else cursor, more=True)

    def cut(self, events: Sequence[Event], max_bytes: int) -> int:
        raise NotImplementedError


def fitting(sizes: Iterable[int], max_bytes: int) -> int:
    return sum(size <= max_bytes for size in accumulate(sizes))


class CountsCharacters(CutsPagesItsOwnWay):
    def cut(self, events: Sequence[Event], max_bytes: int) -> int:
        return max(1, fitting([len(event.data) for event in events], max_bytes))


class CountsNamesToo(CutsPagesItsOwnWay):
    def cut(self, events: Sequence[Event], max_bytes: int) -> int:
        return max(1, fitting([event.size + len(event.name or "") for event in events], max_bytes))


class TakesOneThatDoesNotFit(CutsPagesItsOwnWay):
    def cut(self, events: Sequence[Event], max_bytes: int) -> int:
        return fitting([event.size for event in events], max_bytes) + 1


class TakesNothingThatIsTooLarge(CutsPagesItsOwnWay):
    def cut(self, events: Sequence[Event], max_bytes: int) -> int:
        return fitting([event.size for event in events], max_bytes)


class LeavesOutWhatJustFits(CutsPagesItsOwnWay):
    def cut(self, events: Sequence[Event], max_bytes: int) -> int:
        return max(1, fitting([event.size for event in events], max_bytes - 1))


class TakesNoBytesForNoBound(MemoryBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        is_nothing = max_bytes is not None and max_bytes < len(cursors)
        return super().read(cursors, limit, None if is_nothing else max_bytes)


class SaysMoreItsOwnWay(PagesItsOwnWay):
    """A base: `more` says whether a page of so many entries at most has more."""

    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return sound._replace(more=self.more(sound, limit))

    def more(self, sound: Page, limit: int) -> bool:
        raise NotImplementedError


class NeverSaysThatThereIsMore(SaysMoreItsOwnWay):
    def more(self, sound: Page, limit: int) -> bool:
        return False


class SaysMoreOfAFullPage(SaysMoreItsOwnWay):
    def more(self, sound: Page, limit: int) -> bool:
        return len(sound.entries) == limit


class SaysMoreOfAnyEntries(SaysMoreItsOwnWay):
    def more(self, sound: Page, limit: int) -> bool:
        return bool(sound.entries) and not sound.ended


class SaysMoreWithAGap(SaysMoreItsOwnWay):
    def more(self, sound: Page, limit: int) -> bool:
        return sound.more or sound.gap


class LeavesOutTailsOfUnknownStreams(MemoryBroker):
    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        return super().tail([name for name in stream_ids if name in self._logs] or stream_ids)


class TellsFiveHundredTails(MemoryBroker):
    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        return super().tail(list(islice(stream_ids, 500)))


class TellsTheTailOfTheFirst(MemoryBroker):
    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        return dict.fromkeys(stream_ids, next(iter(super().tail(stream_ids).values()), ""))


class CannotTellNoTails(MemoryBroker):
    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        if not stream_ids:
            raise ValueError("no streams to tell the tails of")
        return super().tail(stream_ids)


class CallsEveryAppendADuplicate(MemoryBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        return Duplicate(super().append(stream_id, events, **key))
