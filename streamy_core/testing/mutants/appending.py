"""Brokers that each break one promise of appending and reading."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any
from urllib.parse import unquote

from ...broker import OLDEST, Event, Page
from .breaking import breaks
from .sound import Log, SoundBroker

Ids = list[str]
Pages = Mapping[str, Page]
Bound = int | None


class StoresEventsChanged(SoundBroker):
    """A base: what is stored is what `changed` makes of it."""

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        return super().append(stream_id, [self.changed(event) for event in events], **key)

    def changed(self, event: Event) -> Event:
        raise NotImplementedError


@breaks(data_comes_back_to_the_letter="a\\n")
class NormalisesLineBreaks(StoresEventsChanged):
    def changed(self, event: Event) -> Event:
        return replace(event, data=event.data.replace("\r\n", "\n"))


@breaks(an_entry_names_its_stream_and_keeps_its_event_whole="retry=None")
class ForgetsARetryOfZero(StoresEventsChanged):
    def changed(self, event: Event) -> Event:
        return replace(event, retry=event.retry or None)


@breaks(an_entry_names_its_stream_and_keeps_its_event_whole="'message'")
class NamesEveryEvent(StoresEventsChanged):
    def changed(self, event: Event) -> Event:
        return replace(event, name=event.name or "message")


class CallsStreamsOtherwise(SoundBroker):
    """A base: streams are the same if `called` calls them the same."""

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        return super().append(self.called(stream_id), events, **key)

    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        read = super().read
        called = {name: self.called(name) for name in cursors}
        share = max_bytes and max_bytes // len(cursors)
        return {
            name: read({called[name]: cursor}, limit, share)[called[name]] for name, cursor in cursors.items()
        }

    def called(self, stream_id: str) -> str:
        raise NotImplementedError


@breaks(names_are_exact="another name is taken for 'a'")
class FoldsCase(CallsStreamsOtherwise):
    def called(self, stream_id: str) -> str:
        return stream_id.lower()


@breaks(names_are_exact="another name is taken for 'ä'")
class NormalisesUnicode(CallsStreamsOtherwise):
    def called(self, stream_id: str) -> str:
        return unicodedata.normalize("NFC", stream_id)


@breaks(names_are_exact="another name is taken for 'a'")
class PadsNamesWithSpaces(CallsStreamsOtherwise):
    def called(self, stream_id: str) -> str:
        return stream_id.rstrip(" ")


@breaks(a_batch_is_stored_whole_and_in_order="an id for each")
class StoresHalfABatch(SoundBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        return super().append(stream_id, events[:256], **key)


@breaks(a_batch_is_stored_whole_and_in_order="'256' != '0'")
class StoresABatchInTheWrongOrder(SoundBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        return super().append(stream_id, [*events[256:], *events[:256]], **key)


@breaks(streams_that_grow_at_once_are_not_mixed_up="or has others'")
class MixesStreamsUp(SoundBroker):
    """It keeps in the object what belongs to a call."""

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        self._current = stream_id
        time.sleep(0.0001)
        return super().append(self._current, events, **key)


@breaks(
    a_page_is_full_or_reaches_the_end="a page with fewer entries than its limit reaches the end of the log"
)
class HandsOutShortPages(SoundBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return super().read(cursors, min(limit, 50), max_bytes)


@breaks(
    a_page_has_no_more_than_its_limit_and_leads_on="no more entries than its limit",
    a_page_is_full_or_reaches_the_end="no more entries than its limit",
    a_log_read_one_by_one_is_the_same_log="a page's cursor is the id of its last entry",
    entries_and_bytes_are_both_bounds="its limit cuts the page short",
    the_end_comes_after_the_last_entry_and_not_before="doesn't tell of the end",
)
class IgnoresTheLimit(SoundBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return super().read(cursors, 10_000, max_bytes)


@breaks(
    a_log_read_one_by_one_is_the_same_log="a page's cursor is the id of its last entry",
    a_page_is_full_or_reaches_the_end="no more entries than its limit",
)
class ReadsTwoAtLeast(SoundBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return super().read(cursors, max(limit, 2), max_bytes)


@breaks(
    a_thousand_streams_are_read_at_once="these streams were left out",
    many_streams_are_read_at_once_each_after_its_own_cursor="{'nobody': []}",
)
class LeavesUnknownStreamsOut(SoundBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        known = {name: cursor for name, cursor in cursors.items() if name in self._logs}
        return super().read(known or cursors, limit, max_bytes)


@breaks(a_thousand_streams_are_read_at_once="these streams were left out")
class ReadsFiveHundredStreams(SoundBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return super().read(dict(islice(cursors.items(), 500)), limit, max_bytes)


@breaks(reading_no_stream_gives_no_page="ValueError: no streams to read")
class CannotReadNothing(SoundBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        if not cursors:
            raise ValueError("no streams to read")
        return super().read(cursors, limit, max_bytes)


@breaks(reading_creates_no_stream="nothing was written")
class CreatesStreamsByReading(SoundBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        for name in cursors:
            self._log_for_writing(name)
        return super().read(cursors, limit, max_bytes)


@breaks(concurrent_publishers_lose_nothing_and_each_keeps_its_order="followed the log read another one")
class AsksForTheCursorAfterwards(SoundBroker):
    """What is appended between the two questions, its readers step over."""

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        time.sleep(0.0005)  # a round trip, or all is published before anybody reads
        return super().append(stream_id, events, **key)

    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        pages = super().read(cursors, limit, max_bytes)
        whole = {name for name, page in pages.items() if page.entries and not page.more and not page.ended}
        time.sleep(0.01 if whole else 0)
        tails = self.tail(whole)
        return {
            name: page._replace(cursor=tails[name]) if name in whole else page for name, page in pages.items()
        }


class PagesItsOwnWay(SoundBroker):
    """A base: a page is what `page` makes of the sound one."""

    def _page(self, stream_id: str, cursor: str, limit: int, max_bytes: Bound) -> Page:
        return self.page(super()._page(stream_id, cursor, limit, max_bytes), stream_id, cursor, limit)

    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        raise NotImplementedError

    def from_the_oldest(self, stream_id: str, limit: int) -> Page:
        return super()._page(stream_id, OLDEST, limit, None)


@breaks(
    a_batch_is_stored_whole_and_in_order="entries come twice",
    a_log_read_one_by_one_is_the_same_log="entries come twice",
    a_page_has_no_more_than_its_limit_and_leads_on="['b', 'c', 'd', 'e'] == ['c', 'd', 'e']",
    a_page_holds_one_entry_however_large="At index 0 diff",
    a_page_holds_what_fits_whatever_the_sizes="after entry 1",
    a_page_stays_within_its_bytes="what just fits is in the page",
    many_streams_are_read_at_once_each_after_its_own_cursor="'old'",
    reading_after_the_cursor_so_many_entries_back_gives_so_many="so many entries lie after",
    reading_goes_on_after_any_cursor="after entry 0",
    reading_while_there_is_more_reads_all_that_a_trimmed_log_has_kept="`more` ends with the newest entry",
    tail_is_the_place_from_now_on="['old', 'new'] == ['new']",
    tails_of_many_streams_are_those_of_each="['old', 'new s",
    the_end_comes_after_the_last_entry_and_not_before="the page with the last entry tells of the end",
    the_end_is_told_only_with_the_last_entry="the page with the last entry tells of the end",
)
class RepeatsTheEntryAtTheCursor(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        at = [entry for entry in self._logs[stream_id].entries if entry.id == cursor] if sound.entries else []
        return sound._replace(entries=(*at, *sound.entries)[:limit])


@breaks(
    a_batch_is_stored_whole_and_in_order="entries come twice",
    concurrent_publishers_lose_nothing_and_each_keeps_its_order="a reader was given entries twice",
    reading_goes_on_after_any_cursor="entries come twice",
)
class RepeatsTheNewestEntry(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        log = self._logs.get(stream_id)
        newest = log and len(log.entries) > 100 and cursor == log.last
        return sound._replace(entries=(log.entries[-1],)) if log and newest else sound


@breaks(
    a_batch_is_stored_whole_and_in_order="Right contains 436 more items",
    a_log_read_one_by_one_is_the_same_log="Right contains 4 more items",
    a_page_has_no_more_than_its_limit_and_leads_on="a page's cursor is the id of its last entry",
    the_end_comes_after_the_last_entry_and_not_before="the page with the last entry tells of the end",
)
class LeadsOnFromTheNewest(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return sound._replace(cursor=self._logs[stream_id].last) if len(sound.entries) == limit else sound


@breaks(reading_goes_on_after_any_cursor="after entry 1")
class ComparesIdsAsText(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return sound._replace(entries=tuple(entry for entry in sound.entries if entry.id > cursor))


@breaks(
    the_end_comes_after_the_last_entry_and_not_before="doesn't tell of the end",
    the_end_is_told_only_with_the_last_entry="has more to come, and doesn't tell of the end",
)
class TellsOfTheEndEarly(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        ended = stream_id in self._logs and self._logs[stream_id].end is not None
        return sound._replace(ended=ended and not sound.gap)


@breaks(a_gap_on_an_ended_stream_leads_to_its_entries_and_its_end="before the end")
class TellsOfTheEndWithAGap(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        ended = sound.gap and stream_id in self._logs and self._logs[stream_id].end is not None
        return sound._replace(ended=ended or sound.ended)


@breaks(entries_come_in_the_order_of_their_appends="")
class ReadsTheNewestFirst(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return sound._replace(entries=sound.entries[::-1])


@breaks(entries_come_in_the_order_of_their_appends="", append_returns_the_ids_under_which_entries_are_read="")
class PutsEntriesInFront(SoundBroker):
    def _store(self, log: Log, stream_id: str, events: Sequence[Event]) -> Ids:
        ids = super()._store(log, stream_id, events)
        log.entries.sort(key=lambda entry: entry.event.data, reverse=True)
        return ids


@breaks(data_comes_back_to_the_letter="")
class StripsData(StoresEventsChanged):
    def changed(self, event: Event) -> Event:
        return replace(event, data=event.data.strip(" "))


@breaks(data_comes_back_to_the_letter="")
class LosesByteOrderMarks(StoresEventsChanged):
    def changed(self, event: Event) -> Event:
        return replace(event, data=event.data.removeprefix("\ufeff"))


@breaks(data_comes_back_to_the_letter="")
class LosesControlCharacters(StoresEventsChanged):
    def changed(self, event: Event) -> Event:
        return replace(event, data=event.data.replace("\x01", ""))


@breaks(data_comes_back_to_the_letter="")
class CutsData(StoresEventsChanged):
    def changed(self, event: Event) -> Event:
        return replace(event, data=event.data[:65_535])


@breaks(an_entry_names_its_stream_and_keeps_its_event_whole="")
class CutsNamesOfEvents(StoresEventsChanged):
    def changed(self, event: Event) -> Event:
        return replace(event, name=event.name and event.name[:100])


@breaks(an_entry_names_its_stream_and_keeps_its_event_whole="")
class CutsRetriesToSixteenBits(StoresEventsChanged):
    def changed(self, event: Event) -> Event:
        return replace(event, retry=event.retry and event.retry % 2**16)


@breaks(an_entry_names_its_stream_and_keeps_its_event_whole="")
class NamesNoStream(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return sound._replace(entries=tuple([entry._replace(stream_id="stream") for entry in sound.entries]))


@breaks(names_are_exact="another name is taken for")
class DecodesPercents(CallsStreamsOtherwise):
    def called(self, stream_id: str) -> str:
        return unquote(stream_id)


@breaks(names_are_exact="another name is taken for")
class TakesPlusForASpace(CallsStreamsOtherwise):
    def called(self, stream_id: str) -> str:
        return stream_id.replace("+", " ")


@breaks(names_are_exact="another name is taken for")
class CutsNamesAtTwoHundred(CallsStreamsOtherwise):
    def called(self, stream_id: str) -> str:
        return stream_id[:200]


@breaks(names_are_exact="another name is taken for")
class TakesNamesForPaths(CallsStreamsOtherwise):
    def called(self, stream_id: str) -> str:
        return stream_id.rpartition("/")[2]


@breaks(tails_and_ends_are_of_exact_names_too="other streams have ended")
class EndsOtherCasesToo(SoundBroker):
    def end(self, stream_id: str) -> None:
        for name in list(self._logs):
            if name.casefold() == stream_id.casefold():
                super().end(name)


@breaks(tails_and_ends_are_of_exact_names_too="")
class TellsTailsByPattern(SoundBroker):
    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        tails = super().tail(stream_ids)
        like = {name: next((n for n in self._logs if fnmatchcase(n, name)), name) for name in stream_ids}
        return {name: super(TellsTailsByPattern, self).tail([like[name]])[like[name]] for name in tails}


@breaks(a_batch_is_seen_whole_or_not_at_all="of batches of 50 events a reader has seen")
class StoresABatchOneByOne(SoundBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        if len(events) != 50:
            return super().append(stream_id, events, **key)
        ids: Ids = []
        for event in events:
            ids += super().append(stream_id, [event])
            time.sleep(0.0001)
        return ids
