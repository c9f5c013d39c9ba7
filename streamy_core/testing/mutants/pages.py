"""Brokers that each break one promise of bounds, of `more`, of many streams at once, or of duplicates."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate, islice
from typing import Any

from ...broker import Duplicate, Event, Page
from .appending import Bound, Ids, Pages, PagesItsOwnWay
from .breaking import breaks
from .sound import SoundBroker


@breaks(
    a_page_holds_one_entry_however_large="the first entry is in the page, whatever its size",
    a_page_holds_what_fits_whatever_the_sizes="after entry 0",
    a_page_stays_within_its_bytes="as many entries as fit into max_bytes, and no more",
    a_share_of_no_bytes_is_one_entry="a page's first entry is returned, however small its share",
    bytes_are_counted_as_utf_8="250 balloons are 1,000 bytes",
    entries_and_bytes_are_both_bounds="its bytes cut the page short",
    many_streams_share_the_bytes="each stream has an equal share of max_bytes",
    the_end_is_told_only_with_the_last_entry="has more to come, and doesn't tell of the end",
)
class IgnoresMaxBytes(SoundBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return super().read(cursors, limit)


@breaks(entries_and_bytes_are_both_bounds="its limit cuts the page short")
class IgnoresTheLimitWithinItsBytes(SoundBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return super().read(cursors, limit if max_bytes is None else 1_000, max_bytes)


@breaks(
    many_streams_share_the_bytes="each stream has an equal share of max_bytes",
    a_share_of_no_bytes_is_one_entry="a page's first entry is returned, however small its share",
)
class GivesEachStreamAllBytes(SoundBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return super().read(cursors, limit, max_bytes and max_bytes * len(cursors))


@breaks(
    many_streams_share_the_bytes="each stream has an equal share of max_bytes",
    a_share_of_no_bytes_is_one_entry="a page's first entry is returned, however small its share",
)
class GivesAllBytesToWhoComesFirst(SoundBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        pages: dict[str, Page] = {}
        for name, cursor in cursors.items():
            pages |= super().read({name: cursor}, limit, max_bytes)
            if max_bytes is not None:
                max_bytes -= sum(entry.event.size for entry in pages[name].entries)
        return pages


class CutsPagesItsOwnWay(SoundBroker):
    """A base: `cut` says how many of these events are in a page of so many bytes."""

    def _page(self, stream_id: str, cursor: str, limit: int, max_bytes: Bound) -> Page:
        whole = super()._page(stream_id, cursor, limit, None)
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


@breaks(bytes_are_counted_as_utf_8="250 balloons are 1,000 bytes")
class CountsCharacters(CutsPagesItsOwnWay):
    def cut(self, events: Sequence[Event], max_bytes: int) -> int:
        return max(1, fitting([len(event.data) for event in events], max_bytes))


@breaks(a_page_holds_what_fits_whatever_the_sizes="after entry 0")
class CountsNamesToo(CutsPagesItsOwnWay):
    def cut(self, events: Sequence[Event], max_bytes: int) -> int:
        return max(1, fitting([event.size + len(event.name or "") for event in events], max_bytes))


@breaks(
    a_page_holds_what_fits_whatever_the_sizes="after entry 0",
    a_page_stays_within_its_bytes="as many entries as fit into max_bytes, and no more",
    bytes_are_counted_as_utf_8="250 balloons are 1,000 bytes",
    entries_and_bytes_are_both_bounds="its bytes cut the page short",
    many_streams_share_the_bytes="each stream has an equal share of max_bytes",
    the_end_is_told_only_with_the_last_entry="has more to come, and doesn't tell of the end",
)
class TakesOneThatDoesNotFit(CutsPagesItsOwnWay):
    def cut(self, events: Sequence[Event], max_bytes: int) -> int:
        return fitting([event.size for event in events], max_bytes) + 1


@breaks(
    a_page_holds_one_entry_however_large="the first entry is in the page, whatever its size",
    a_page_holds_what_fits_whatever_the_sizes="after entry 2",
    a_share_of_no_bytes_is_one_entry="a page's first entry is returned, however small its share",
)
class TakesNothingThatIsTooLarge(CutsPagesItsOwnWay):
    def cut(self, events: Sequence[Event], max_bytes: int) -> int:
        return fitting([event.size for event in events], max_bytes)


@breaks(
    a_page_holds_what_fits_whatever_the_sizes="after entry 0",
    a_page_stays_within_its_bytes="what just fits is in the page",
    entries_and_bytes_are_both_bounds="its bytes cut the page short",
    many_streams_share_the_bytes="each stream has an equal share of max_bytes",
)
class LeavesOutWhatJustFits(CutsPagesItsOwnWay):
    def cut(self, events: Sequence[Event], max_bytes: int) -> int:
        return max(1, fitting([event.size for event in events], max_bytes - 1))


@breaks(
    a_page_holds_what_fits_whatever_the_sizes="after entry 0",
    a_share_of_no_bytes_is_one_entry="a page's first entry is returned, however small its share",
)
class TakesNoBytesForNoBound(SoundBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        is_nothing = max_bytes is not None and max_bytes < len(cursors)
        return super().read(cursors, limit, None if is_nothing else max_bytes)


class SaysMoreItsOwnWay(PagesItsOwnWay):
    """A base: `more` says whether a page of so many entries at most has more."""

    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return sound._replace(more=self.more(sound, limit))

    def more(self, sound: Page, limit: int) -> bool:
        raise NotImplementedError


@breaks(
    a_page_holds_what_fits_whatever_the_sizes="a page after entry 0 is wrong about `more`",
    a_page_is_full_or_reaches_the_end="`more` says whether a page stops before the end of the log",
    a_page_stays_within_its_bytes="that its bytes have cut short says that there is more",
    reading_while_there_is_more_reads_all_that_a_trimmed_log_has_kept="`more` ends with the newest entry",
    the_end_is_told_only_with_the_last_entry="has more to come, and doesn't tell of the end",
)
class NeverSaysThatThereIsMore(SaysMoreItsOwnWay):
    def more(self, sound: Page, limit: int) -> bool:
        return False


@breaks(
    a_page_holds_what_fits_whatever_the_sizes="a page after entry 0 is wrong about `more`",
    a_page_is_full_or_reaches_the_end="`more` says whether a page stops before the end of the log",
    a_page_stays_within_its_bytes="that its bytes have cut short says that there is more",
    only_a_page_that_stops_before_the_end_of_the_log_has_more="these streams have no more",
    reading_while_there_is_more_reads_all_that_a_trimmed_log_has_kept="`more` ends with the newest entry",
    the_end_is_told_only_with_the_last_entry="has more to come, and doesn't tell of the end",
)
class SaysMoreOfAFullPage(SaysMoreItsOwnWay):
    def more(self, sound: Page, limit: int) -> bool:
        return len(sound.entries) == limit


@breaks(
    a_page_holds_what_fits_whatever_the_sizes="is wrong about `more`",
    a_page_is_full_or_reaches_the_end="`more` says whether a page stops before the end of the log",
    a_page_stays_within_its_bytes="what just fits is in the page",
    only_a_page_that_stops_before_the_end_of_the_log_has_more="['read to its last entry']",
    reading_while_there_is_more_reads_all_that_a_trimmed_log_has_kept="says that there are more",
)
class SaysMoreOfAnyEntries(SaysMoreItsOwnWay):
    def more(self, sound: Page, limit: int) -> bool:
        return bool(sound.entries) and not sound.ended


@breaks(a_page_with_a_gap_has_nothing_else="a gap comes alone: what is left is for the next page to say")
class SaysMoreWithAGap(SaysMoreItsOwnWay):
    def more(self, sound: Page, limit: int) -> bool:
        return sound.more or sound.gap


@breaks(
    a_thousand_tails_are_asked_for_at_once="these streams were left out",
    tails_of_many_streams_are_those_of_each="a cursor for every stream asked for",
)
class LeavesOutTailsOfUnknownStreams(SoundBroker):
    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        return super().tail([name for name in stream_ids if name in self._logs] or stream_ids)


@breaks(a_thousand_tails_are_asked_for_at_once="these streams were left out")
class TellsFiveHundredTails(SoundBroker):
    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        return super().tail(list(islice(stream_ids, 500)))


@breaks(
    a_thousand_tails_are_asked_for_at_once="that nothing has caused",
    tails_of_many_streams_are_those_of_each="Differing items",
)
class TellsTheTailOfTheFirst(SoundBroker):
    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        return dict.fromkeys(stream_ids, next(iter(super().tail(stream_ids).values()), ""))


@breaks(no_streams_have_no_tails="ValueError: no streams to tell")
class CannotTellNoTails(SoundBroker):
    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        if not stream_ids:
            raise ValueError("no streams to tell the tails of")
        return super().tail(stream_ids)


@breaks(only_a_repeated_append_is_called_a_duplicate="stored something, and is called a Duplicate")
class CallsEveryAppendADuplicate(SoundBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        return Duplicate(super().append(stream_id, events, **key))


@breaks(a_long_log_is_one_page_if_its_limit_says_so="as many entries as its limit")
class CapsItsLimitAtAThousand(SoundBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return super().read(cursors, min(limit, 1_000), max_bytes)


@breaks(huge_bounds_are_bounds="OverflowError")
class CountsWithThirtyTwoBits(SoundBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        (limit + 1).to_bytes(4, "big", signed=True)
        return super().read(cursors, limit, max_bytes)


@breaks(huge_bounds_are_bounds="OverflowError")
class CountsBytesWithSixtyFourBits(SoundBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        (max_bytes or 0).to_bytes(8, "big")
        return super().read(cursors, limit, max_bytes)


@breaks(a_page_at_the_head_is_empty_and_stays_there="")
class HasNoCursorAtTheHead(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return sound if sound.entries or sound.gap or sound.ended else sound._replace(cursor="head")


@breaks(a_page_at_the_head_is_empty_and_stays_there="")
class HasAGapAtTheHead(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        log = self._logs.get(stream_id)
        at_head = log and log.entries and cursor == log.last and not sound.ended
        return Page((), log.before, gap=True) if log and at_head else sound


@breaks(many_streams_are_read_at_once_each_after_its_own_cursor="")
class ReadsAllAfterTheFirstCursor(SoundBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        first = next(iter(cursors.values()), "")
        return super().read({name: cursors[name] and first for name in cursors}, limit, max_bytes)
