"""Brokers that each break one promise of ids, tails, ends, histories or of their own life."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any

from ...broker import OLDEST, BaseWatch, Closed, Event, Page, StreamEnded, Watch
from ...errors import StreamyError
from ...ids import sequence_of
from .appending import Bound, Ids, Pages, PagesItsOwnWay
from .breaking import breaks
from .sound import Log, SoundBroker


@breaks(
    an_ended_stream_takes_no_more="DID NOT RAISE StreamEnded",
    a_stream_can_end_before_its_first_event="DID NOT RAISE StreamEnded",
)
class ForgetsAnEnd(SoundBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        try:
            return super().append(stream_id, events, **key)
        except StreamEnded:
            self._logs[stream_id].end = None
            return super().append(stream_id, events, **key)


@breaks(an_ended_stream_takes_no_more="['a', 'b'] == ['a']")
class StoresInAnEndedStreamAllTheSame(SoundBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        try:
            return super().append(stream_id, events, **key)
        except StreamEnded:
            self._store(self._logs[stream_id], stream_id, events)
            raise


@breaks(
    the_end_has_a_cursor_of_its_own="hasn't seen the end yet",
    the_tail_of_an_ended_stream_lies_before_its_end="is to be told of the end",
)
class EndsWithTheLastId(SoundBroker):
    def end(self, stream_id: str) -> None:
        super().end(stream_id)
        self._logs[stream_id].end = self._logs[stream_id].last


@breaks(ending_twice_does_nothing_more="has made another end")
class EndsAnewEachTime(SoundBroker):
    def end(self, stream_id: str) -> None:
        super().end(stream_id)
        self._logs[stream_id].end = f"end.{token_hex(4)}"


@breaks(
    the_end_has_a_cursor_of_its_own="with the same cursor and the end",
    an_ended_stream_takes_no_more="that nothing has caused",
)
class KnowsNotItsOwnEnd(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return Page((), sound.cursor, gap=True) if sound.ended and cursor == sound.cursor else sound


@breaks(
    an_end_is_no_entry="the newest entry is the last before the end",
    reading_takes_nothing_away="the second reader found another log",
)
class ForgetsWhatWasReadToItsEnd(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        if sound.ended and sound.entries:
            log = self._logs[stream_id]
            log.before = log.last
            log.entries.clear()
        return sound


@breaks(appending_nothing_does_nothing="StreamEnded: stream 'news' has ended")
class RefusesNothingAfterTheEnd(SoundBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        if stream_id in self._logs and self._logs[stream_id].end and not events:
            raise StreamEnded(stream_id)
        return super().append(stream_id, events, **key)


@breaks(
    what_was_trimmed_is_a_gap_and_reading_goes_on_at_the_oldest="keeps at least 10 entries",
    history_counts_entries_and_not_appends="has kept 5 entries",
)
class KeepsTooLittle(SoundBroker):
    def __init__(self, folder: Path | None, history: int) -> None:
        super().__init__(folder, history // 2)


@breaks(
    what_was_trimmed_is_a_gap_and_reading_goes_on_at_the_oldest="its reader isn't told",
    a_reader_that_has_all_but_the_kept_entries_has_no_gap="come all that are kept",
    history_counts_entries_and_not_appends="has kept 100 entries",
)
class KeepsAll(SoundBroker):
    def __init__(self, folder: Path | None, history: int) -> None:
        super().__init__(folder)


@breaks(history_counts_entries_and_not_appends="has kept 50 entries")
class CountsAppends(KeepsAll):
    """Its history is of so many appends, however many events each has."""

    def __init__(self, folder: Path | None, history: int) -> None:
        super().__init__(folder, history)
        self._most = history
        self._sizes: dict[str, list[int]] = {}

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        ids = super().append(stream_id, events, **key)
        sizes = self._sizes.setdefault(stream_id, [])
        sizes.append(len(events))
        if len(sizes) > self._most:
            for _ in range(sizes.pop(0)):
                self._logs[stream_id].drop_oldest()
        return ids


@breaks(
    what_was_trimmed_is_a_gap_and_reading_goes_on_at_the_oldest="that nothing has caused",
    a_reader_that_has_all_but_the_kept_entries_has_no_gap="that nothing has caused",
)
class ForgetsTheCursorBeforeTheOldest(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        trimmed = cursor != OLDEST and stream_id in self._logs and cursor == self._logs[stream_id].before
        return Page((), cursor, gap=True) if trimmed and sequence_of(cursor) else sound


@breaks(a_closed_broker_says_so="append returned, and did not raise Closed")
class WorksOnWhenClosed(SoundBroker):
    def close(self) -> None:
        for watch in self._watches:
            watch.close()


@breaks(a_closed_broker_says_so="has been closed already")
class ClosesOnlyOnce(SoundBroker):
    def close(self) -> None:
        if self._closed:
            raise Closed("this memory broker has been closed already")
        super().close()


@breaks(a_batch_larger_than_the_history_is_stored_and_its_newest_are_kept="ValueError")
class RefusesABatchLargerThanItsHistory(SoundBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        if len(events) > self._history:
            raise ValueError("too many events at once")
        return super().append(stream_id, events, **key)


@breaks(a_batch_larger_than_the_history_is_stored_and_its_newest_are_kept="an id for each of its events")
class StoresOfALargeBatchWhatItKeeps(SoundBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        return super().append(stream_id, events[-self._history :], **key)


@breaks(a_batch_larger_than_the_history_is_stored_and_its_newest_are_kept="its newest entries aren't kept")
class KeepsTheOldestOfALargeBatch(SoundBroker):
    def _trim(self, log: Log) -> None:
        if len(log.entries) > 2 * self._history:
            del log.entries[self._history :]
        super()._trim(log)


@breaks(a_page_read_while_the_log_is_trimmed_has_no_hole="")
class ReadsInTwoSnapshots(SoundBroker):
    """Where the cursor lies it finds out first, and what comes after it later."""

    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        gaps = {name: page.gap for name, page in super().read(cursors, 1).items()}
        time.sleep(0.002)
        pages = dict(super().read(cursors, limit, max_bytes))
        for name, page in pages.items():
            if page.gap and not gaps[name]:
                pages.update(super().read({name: OLDEST}, limit, max_bytes))
        return pages


@breaks(who_appends_to_an_ended_stream_is_told_which="is given the name of the stream")
class NamesAnotherStreamThatHasEnded(SoundBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        try:
            return super().append(stream_id, events, **key)
        except StreamEnded:
            raise StreamEnded(next(name for name, log in self._logs.items() if log.end)) from None


@breaks(
    an_ended_stream_takes_no_more="StreamyError", who_appends_to_an_ended_stream_is_told_which="StreamyError"
)
class HasAnErrorOfItsOwnForEnds(SoundBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        try:
            return super().append(stream_id, events, **key)
        except StreamEnded as error:
            raise StreamyError(str(error)) from None


@breaks(an_end_comes_after_an_append_that_has_returned="")
class StoresTheLastEntryAfterTheEnd(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return sound._replace(entries=sound.entries[:-1]) if sound.ended and sound.entries else sound


@breaks(closing_while_calls_are_under_way_ends_them="ValueError: the connection is closed")
class RaisesWhatItsDriverRaisesWhenClosed(SoundBroker):
    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        try:
            return super().tail(stream_ids)
        except Closed:
            raise ValueError("the connection is closed") from None


@breaks(closing_while_calls_are_under_way_ends_them="not within")
class HangsInCallsWhenClosed(SoundBroker):
    def end(self, stream_id: str) -> None:
        try:
            super().end(stream_id)
        except Closed:
            time.sleep(60)
            raise


@breaks(a_closed_broker_says_so="read returned, and did not raise Closed")
class ReadsOnWhenClosed(SoundBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return {name: self._page(name, cursor, limit, max_bytes) for name, cursor in cursors.items()}


@breaks(a_closed_broker_says_so="watch returned, and did not raise Closed")
class WatchesOnWhenClosed(SoundBroker):
    def watch(self) -> Watch:
        return BaseWatch() if self._closed else super().watch()
