"""Brokers that each break one promise of cursors and gaps."""

from __future__ import annotations

from collections.abc import Sequence

from ...broker import OLDEST, Page
from ...ids import ID, sequence_of
from .appending import Bound, PagesItsOwnWay
from .breaking import breaks
from .sound import SoundBroker


@breaks(what_was_trimmed_is_a_gap_and_reading_goes_on_at_the_oldest="its reader isn't told")
class StepsOverWhatWasTrimmed(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        epoch, nonce = slice(6), slice(-4, None)
        known = cursor[epoch] == sound.cursor[epoch] and cursor[nonce] == sound.cursor[nonce]
        return self.from_the_oldest(stream_id, limit) if sound.gap and known else sound


@breaks(a_cursor_that_is_none_is_a_gap_and_no_error="ValueError: not a cursor")
class RaisesForAStrangeCursor(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        if sound.gap and not ID.fullmatch(cursor):
            raise ValueError(f"not a cursor: {cursor[:20]!r}")
        return sound


@breaks(
    a_cursor_that_is_none_is_a_gap_and_no_error="a page with a gap has no entries",
    a_gap_on_an_ended_stream_leads_to_its_entries_and_its_end="a gap comes alone",
    a_page_with_a_gap_has_nothing_else="a gap comes alone: what is left is for the next page to say",
    what_was_trimmed_is_a_gap_and_reading_goes_on_at_the_oldest="on to the oldest entry that is kept",
)
class GivesEntriesWithAGap(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return self.from_the_oldest(stream_id, limit)._replace(gap=True) if sound.gap else sound


@breaks(
    a_cursor_that_is_none_is_a_gap_and_no_error="'x' is nobody's cursor",
    a_cursor_of_another_history_is_a_gap="two histories",
    a_cursor_of_another_stream_is_a_gap="no cursor in another",
    a_gap_on_an_ended_stream_leads_to_its_entries_and_its_end="a gap comes alone",
    a_page_with_a_gap_has_nothing_else="a gap comes alone: what is left is for the next page to say",
    before_a_cursor_that_cannot_be_placed_there_is_none="what can't be placed",
    before_an_entry_that_is_not_there_there_is_none="what can't be placed",
    what_was_trimmed_is_a_gap_and_reading_goes_on_at_the_oldest="its reader isn't told",
)
class TakesStrangeCursorsForTheHead(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return Page((), self._logs[stream_id].last) if sound.gap and stream_id in self._logs else sound


@breaks(a_strange_cursor_of_an_unknown_stream_is_a_gap="'x' is nobody's cursor")
class KnowsNoGapOfAnUnknownStream(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return sound._replace(gap=False) if stream_id not in self._logs else sound


@breaks(
    a_cursor_that_is_none_is_a_gap_and_no_error="the cursor of a page with a gap is sent",
    a_strange_cursor_of_an_unknown_stream_is_a_gap="the cursor of a page with a gap is sent",
    the_cursor_of_a_gap_in_a_trimmed_log_is_an_id_and_no_gap="a gap's cursor is sent to clients",
)
class HasGapsWhoseCursorsCannotBeSent(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return sound._replace(cursor=f"before:{stream_id}") if sound.gap else sound

    def _page(self, stream_id: str, cursor: str, limit: int, max_bytes: Bound) -> Page:
        known = OLDEST if cursor == f"before:{stream_id}" else cursor
        return super()._page(stream_id, known, limit, max_bytes)


@breaks(the_cursor_of_a_gap_in_a_trimmed_log_is_an_id_and_no_gap="")
class HasGapsWithoutACursor(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return sound._replace(cursor=OLDEST) if sound.gap else sound


@breaks(a_strange_cursor_of_an_unknown_stream_is_a_gap="there is no gap again")
class HasGapAfterGapInAnUnknownStream(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        unknown = stream_id not in self._logs
        return sound._replace(gap=True) if unknown and cursor != OLDEST else sound


class PlacesCursorsItsOwnWay(SoundBroker):
    """A base: a cursor is `taken` for another before it is placed."""

    def _page(self, stream_id: str, cursor: str, limit: int, max_bytes: Bound) -> Page:
        log = self.log(stream_id)
        known = [log.before, *[entry.id for entry in log.entries]]
        if cursor not in (OLDEST, log.end, *known):
            cursor = self.taken(cursor, known)
        return super()._page(stream_id, cursor, limit, max_bytes)

    def taken(self, cursor: str, known: Sequence[str]) -> str:
        raise NotImplementedError


@breaks(a_cursor_that_was_never_handed_out_is_a_gap="is taken for a place in it")
class IgnoresTheCaseOfCursors(PlacesCursorsItsOwnWay):
    def taken(self, cursor: str, known: Sequence[str]) -> str:
        return next((each for each in known if each.lower() == cursor.lower()), cursor)


@breaks(a_cursor_that_was_never_handed_out_is_a_gap="is taken for a place in it")
class PlacesCursorsByNumberOnly(PlacesCursorsItsOwnWay):
    def taken(self, cursor: str, known: Sequence[str]) -> str:
        number = sequence_of(cursor)
        return next((each for each in known if sequence_of(each) == number), cursor)


@breaks(a_cursor_that_was_never_handed_out_is_a_gap="is taken for a place in it")
class PlacesCursorsByTheirBeginning(PlacesCursorsItsOwnWay):
    def taken(self, cursor: str, known: Sequence[str]) -> str:
        return next((each for each in known if cursor.startswith(each)), cursor)


@breaks(a_cursor_that_was_never_handed_out_is_a_gap="is taken for a place in it")
class KnowsLeadingZeros(PlacesCursorsItsOwnWay):
    def taken(self, cursor: str, known: Sequence[str]) -> str:
        return cursor.replace(".0", ".", 1)


@breaks(a_cursor_beyond_the_newest_entry_is_a_gap="would be stepped over")
class AcceptsCursorsBeyondTheHead(PlacesCursorsItsOwnWay):
    def taken(self, cursor: str, known: Sequence[str]) -> str:
        number, newest = sequence_of(cursor), sequence_of(known[-1])
        is_beyond = number is not None and newest is not None and number > newest
        return known[-1] if is_beyond and cursor.endswith(known[-1][-3:]) else cursor
