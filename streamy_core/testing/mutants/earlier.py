"""Brokers that each break one promise of earlier cursors (`ReadsBack`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ...broker import OLDEST, UNPLACEABLE
from .breaking import breaks
from .sound import Log, SoundBroker


@breaks(
    reading_after_the_cursor_so_many_entries_back_gives_so_many="so many entries lie after",
    so_many_entries_back_is_counted_from_any_cursor="counts from the cursor",
    earlier_cursors_of_many_streams_are_found_at_once="",
    an_end_is_no_entry="the newest entry is the last before the end",
    earlier_cursors_are_right_in_a_log_that_has_been_trimmed="",
)
class GoesOneBackTooFar(SoundBroker):
    def _back(self, log: Log, cursor: str | None, entries: int) -> str:
        return super()._back(log, cursor, entries + 1)


@breaks(
    so_many_entries_back_is_counted_from_any_cursor="counts from the cursor that is given",
    earlier_cursors_of_many_streams_are_found_at_once="",
    before_a_cursor_that_cannot_be_placed_there_is_none="what can't be placed",
    before_an_entry_that_is_not_there_there_is_none="what can't be placed",
)
class CountsFromTheNewest(SoundBroker):
    def _back(self, log: Log, cursor: str | None, entries: int) -> str:
        return super()._back(log, None, entries)


@breaks(an_end_is_no_entry="the end isn't counted")
class CountsTheEnd(SoundBroker):
    def _back(self, log: Log, cursor: str | None, entries: int) -> str:
        counted = log.end is not None and cursor == log.end
        return super()._back(log, cursor, entries - 1 if counted else entries)


@breaks(where_no_more_entries_are_left_the_cursor_is_the_oldest="OLDEST is never a gap")
class StopsBeforeTheOldest(SoundBroker):
    def _back(self, log: Log, cursor: str | None, entries: int) -> str:
        return super()._back(log, cursor, entries) or log.before


@breaks(where_no_more_entries_are_left_the_cursor_is_the_oldest="OverflowError")
class GoesBackWithSixtyFourBits(SoundBroker):
    def _back(self, log: Log, cursor: str | None, entries: int) -> str:
        entries.to_bytes(8, "big")
        return super()._back(log, cursor, entries)


@breaks(
    before_a_cursor_that_cannot_be_placed_there_is_none="what can't be placed",
    before_an_entry_that_is_not_there_there_is_none="what can't be placed",
)
class TakesWhatItCannotPlaceForTheOldest(SoundBroker):
    def _back(self, log: Log, cursor: str | None, entries: int) -> str:
        found = super()._back(log, cursor, entries)
        return OLDEST if found == UNPLACEABLE else found


@breaks(before_a_cursor_that_cannot_be_placed_there_is_none="ValueError")
class RaisesForWhatItCannotPlace(SoundBroker):
    def _back(self, log: Log, cursor: str | None, entries: int) -> str:
        if (found := super()._back(log, cursor, entries)) == UNPLACEABLE:
            raise ValueError("no such cursor")
        return found


@breaks(earlier_cursors_of_many_streams_are_found_at_once="")
class FindsOneEarlierCursorOnly(SoundBroker):
    def back(self, cursors: Mapping[str, str | None], entries: int) -> Mapping[str, str]:
        return super().back(dict(list(cursors.items())[:1]), entries)


@breaks(earlier_cursors_of_many_streams_are_found_at_once="")
class KnowsOnlyStreamsThatAreThere(SoundBroker):
    def since(self, stream_ids: Collection[str], seconds: float) -> Mapping[str, str]:
        return super().since([name for name in stream_ids if name in self._logs], seconds)


@breaks(earlier_cursors_are_right_in_a_log_that_has_been_trimmed="")
class CountsWhatWasTrimmed(SoundBroker):
    def _back(self, log: Log, cursor: str | None, entries: int) -> str:
        found = super()._back(log, cursor, entries)
        return log.before if found == OLDEST and log.count > len(log.entries) else found


@breaks(what_is_older_than_so_many_seconds_lies_before_the_cursor="")
class CountsInMinutes(SoundBroker):
    def since(self, stream_ids: Collection[str], seconds: float) -> Mapping[str, str]:
        return super().since(stream_ids, seconds * 60)


@breaks(what_is_older_than_so_many_seconds_lies_before_the_cursor="")
class TakesAnyAgeForNow(SoundBroker):
    def since(self, stream_ids: Collection[str], seconds: float) -> Mapping[str, str]:
        return super().since(stream_ids, 0)
