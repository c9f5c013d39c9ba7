"""Brokers that each break one promise of appending a stream's last entries."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ...broker import Event, StreamEnded
from .appending import Bound, Ids, Pages
from .breaking import breaks
from .sound import SoundBroker

_A_MOMENT = 0.002


@breaks(
    the_last_entries_are_there_with_the_end="the stream goes on after its last entries",
    the_page_that_holds_the_last_entry_tells_of_the_end="with the last entry comes the end",
    who_appends_last_second_has_stored_nothing="",
    after_the_last_entries_an_append_is_refused="",
    of_many_who_append_last_at_once_one_is_the_first="have appended last",
)
class OnlyAppends(SoundBroker):
    def append_last(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        return self.append(stream_id, events, **key)


@breaks(the_last_entries_are_there_with_the_end="the last entries are there, in order")
class AppendsLastFirst(SoundBroker):
    def append_last(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        return super().append_last(stream_id, events[::-1], **key)


@breaks(the_page_that_holds_the_last_entry_tells_of_the_end="with the last entry comes the end")
class TellsOfTheEndByAPageOfItsOwn(SoundBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return {
            name: page._replace(cursor=page.entries[-1].id, ended=False, more=True)
            if page.ended and page.entries
            else page
            for name, page in super().read(cursors, limit, max_bytes).items()
        }


@breaks(
    who_appends_last_second_has_stored_nothing="DID NOT RAISE",
    of_many_who_append_last_at_once_one_is_the_first="have appended last",
    the_last_entries_are_heard_of_in_other_processes="has appended after the last",
)
class SaysThatAllWereTheFirst(SoundBroker):
    """As one that ends a stream first, and takes an end that was there for its own."""

    def append_last(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        try:
            return super().append_last(stream_id, events, **key)
        except StreamEnded:
            return [self.log(stream_id).last]


@breaks(after_the_last_entries_an_append_is_refused="DID NOT RAISE")
class GoesOnAfterTheLast(SoundBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        log = self.log(stream_id)
        end, log.end = log.end, None
        try:
            return super().append(stream_id, events, **key)
        finally:
            log.end = end


@breaks(repeating_a_key_of_the_last_entries_gives_their_ids="StreamEnded")
class HeedsNoKeyOfTheLast(SoundBroker):
    def append_last(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        return super().append_last(stream_id, events)


@breaks(
    nothing_comes_between_the_last_entries_and_the_end="an append has come after the last",
)
class EndsInTwoSteps(SoundBroker):
    """Each of them atomic, as where an end is another command."""

    def append_last(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        ids = self.append(stream_id, events, **key)
        time.sleep(_A_MOMENT)
        self.end(stream_id)
        return ids


@breaks(the_last_entries_ring_the_bell="the watch never named")
class EndsInSilence(SoundBroker):
    def append_last(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        watches, self._watches = self._watches, ()
        try:
            return super().append_last(stream_id, events, **key)
        finally:
            self._watches = watches
