"""Brokers that each break one promise of a capability: of listing streams, forgetting them, making tables,
keeping meta, telling the time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import unquote

from ...broker import Event, Page, StreamInfo
from ...events import meta_size
from .appending import Bound, Ids, Pages
from .breaking import breaks
from .sound import Log, SoundBroker
from .within import HasTransactions

BY_NAME = "every stream is listed, by name"


class ListsItsOwnWay(SoundBroker):
    """A base: what is listed is what `listed` makes of a sound list."""

    def streams(self) -> Iterable[StreamInfo]:
        return self.listed(list(super().streams()))

    def listed(self, sound: list[StreamInfo]) -> list[StreamInfo]:
        raise NotImplementedError


@breaks(where_nothing_was_written_no_stream_is_listed="", reading_creates_no_stream="nothing was written")
class ListsWhatWasRead(SoundBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        with self.opened(to_write=True):
            for name in cursors:
                self._log_for_writing(name)
        return super().read(cursors, limit, max_bytes)

    def streams(self) -> Iterable[StreamInfo]:
        return list(super().streams()) or [StreamInfo("", 0, "", False)]


@breaks(
    streams_are_listed_by_name_with_what_is_left_of_each="TypeError",
    ended_streams_are_listed_and_said_to_have_ended="TypeError",
    many_streams_are_listed_each_once="TypeError",
)
class ListsOneStreamOnly(ListsItsOwnWay):
    """It sorts what can't be compared, as soon as there are two."""

    def listed(self, sound: list[StreamInfo]) -> list[StreamInfo]:
        return sorted(sound)  # type: ignore[type-var]


@breaks(streams_are_listed_by_name_with_what_is_left_of_each=BY_NAME)
class ListsInAnyOrder(ListsItsOwnWay):
    def listed(self, sound: list[StreamInfo]) -> list[StreamInfo]:
        return sound[::-1]


@breaks(
    streams_are_listed_by_name_with_what_is_left_of_each=BY_NAME,
    what_a_list_calls_last_is_a_cursor_at_the_newest_entry="",
)
class CallsTheOldestTheLast(ListsItsOwnWay):
    def listed(self, sound: list[StreamInfo]) -> list[StreamInfo]:
        return [replace(info, last=self._logs[info.stream_id].before) for info in sound]


@breaks(ended_streams_are_listed_and_said_to_have_ended="")
class ListsNoEndedStreams(ListsItsOwnWay):
    def listed(self, sound: list[StreamInfo]) -> list[StreamInfo]:
        return [info for info in sound if not info.ended]


@breaks(ended_streams_are_listed_and_said_to_have_ended="")
class SaysOfNoneThatItHasEnded(ListsItsOwnWay):
    def listed(self, sound: list[StreamInfo]) -> list[StreamInfo]:
        return [replace(info, ended=False) for info in sound]


@breaks(ended_streams_are_listed_and_said_to_have_ended="an end is no entry")
class CountsTheEndInAList(ListsItsOwnWay):
    def listed(self, sound: list[StreamInfo]) -> list[StreamInfo]:
        return [replace(info, entries=info.entries + info.ended) for info in sound]


@breaks(ended_streams_are_listed_and_said_to_have_ended="and not the end's")
class CallsTheEndTheLast(ListsItsOwnWay):
    def listed(self, sound: list[StreamInfo]) -> list[StreamInfo]:
        return [replace(info, last=self._logs[info.stream_id].end or info.last) for info in sound]


@breaks(streams_are_listed_under_their_exact_names="")
class DecodesNamesInAList(ListsItsOwnWay):
    def listed(self, sound: list[StreamInfo]) -> list[StreamInfo]:
        return [replace(info, stream_id=unquote(info.stream_id)) for info in sound]


@breaks(a_list_counts_what_is_kept_of_a_trimmed_stream="`entries` is how many are left")
class CountsAllThatEverWas(ListsItsOwnWay):
    def listed(self, sound: list[StreamInfo]) -> list[StreamInfo]:
        return [replace(info, entries=self._logs[info.stream_id].count) for info in sound]


@breaks(many_streams_are_listed_each_once="")
class ListsAHundredStreams(ListsItsOwnWay):
    def listed(self, sound: list[StreamInfo]) -> list[StreamInfo]:
        return sound[:100]


@breaks(many_streams_are_listed_each_once="")
class ListsSomeStreamsTwice(ListsItsOwnWay):
    """As a scan of a hash table does."""

    def listed(self, sound: list[StreamInfo]) -> list[StreamInfo]:
        return sorted([*sound, *sound[200:210]], key=lambda info: info.stream_id)


@breaks(a_stream_that_was_forgotten_begins_anew_and_its_readers_are_told="has handed out an id again")
class BeginsAForgottenStreamAsItDid(SoundBroker):
    def forget(self, idle_for: float, *, ended: bool = False) -> int:
        epoch, nonces = self._epoch, {name: log.nonce for name, log in self._logs.items()}
        count = super().forget(idle_for, ended=ended)
        self._epoch = epoch
        if count:
            for name, nonce in nonces.items():
                self._log_for_writing(name).nonce = nonce
        return count


@breaks(a_stream_that_was_forgotten_begins_anew_and_its_readers_are_told="StreamEnded")
class RemembersThatAForgottenStreamHasEnded(SoundBroker):
    def forget(self, idle_for: float, *, ended: bool = False) -> int:
        ends = {name: log.end for name, log in self._logs.items()}
        count = super().forget(idle_for, ended=ended)
        for name in ends.keys() - self._logs.keys():
            self._log_for_writing(name).end = ends[name]
        return count


@breaks(only_idle_streams_are_forgotten="isn't idle")
class ForgetsWhatIsInUse(SoundBroker):
    def forget(self, idle_for: float, *, ended: bool = False) -> int:
        return super().forget(0, ended=ended)


@breaks(only_idle_streams_are_forgotten="only ended streams")
class ForgetsWhatHasNotEnded(SoundBroker):
    def forget(self, idle_for: float, *, ended: bool = False) -> int:
        return super().forget(idle_for)


@breaks(tables_are_made_by_several_at_once_and_again="takes nothing away")
class MakesItsTablesAnew(SoundBroker):
    def create_tables(self) -> None:
        self._logs.clear()


@breaks(tables_are_made_by_several_at_once_and_again="RuntimeError")
class MakesItsTablesOnce(SoundBroker):
    def create_tables(self) -> None:
        if self._logs:
            raise RuntimeError("table streams already exists")


class StoresItsOwnWay(SoundBroker):
    """A base: what is stored is what `kept` makes of it."""

    def _store(self, log: Log, stream_id: str, events: Sequence[Event]) -> Ids:
        return super()._store(log, stream_id, self.kept(events))

    def kept(self, events: Sequence[Event]) -> Sequence[Event]:
        raise NotImplementedError


@breaks(
    an_event_comes_back_with_its_meta_to_the_letter="comes back with its meta",
    each_event_of_a_batch_has_its_own_meta_or_none="meta=None",
    what_a_transaction_appends_is_kept_with_its_meta="meta=None",
    events_for_many_streams_are_kept_with_their_meta="meta=None",
)
class ForgetsMeta(StoresItsOwnWay, HasTransactions):
    def kept(self, events: Sequence[Event]) -> Sequence[Event]:
        return [replace(event, meta=None) for event in events]


@breaks(an_event_comes_back_with_its_meta_to_the_letter="otherwise as without")
class PutsMetaBeforeTheData(StoresItsOwnWay):
    def kept(self, events: Sequence[Event]) -> Sequence[Event]:
        return [
            replace(event, data=f"{event.meta}\n{event.data}") if event.meta else event for event in events
        ]


@breaks(an_event_comes_back_with_its_meta_to_the_letter="comes back with its meta")
class TakesKeysOfMetaForHeaders(StoresItsOwnWay):
    """As if case didn't matter."""

    def kept(self, events: Sequence[Event]) -> Sequence[Event]:
        return [
            replace(event, meta={key.lower(): text for key, text in (event.meta or {}).items()})
            for event in events
        ]


@breaks(each_event_of_a_batch_has_its_own_meta_or_none="")
class KeepsOneMetaForABatch(StoresItsOwnWay):
    def kept(self, events: Sequence[Event]) -> Sequence[Event]:
        found = next((event.meta for event in events if event.meta), None)
        return [replace(event, meta=found) for event in events]


@breaks(each_event_of_a_batch_has_its_own_meta_or_none="get on")
class StandsStillBeforeALargeMeta(SoundBroker):
    """It counts meta as data, and has no page for what is too large by itself."""

    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        pages = super().read(cursors, limit, max_bytes)
        return {name: self._without_large(page, cursors[name], max_bytes) for name, page in pages.items()}

    @staticmethod
    def _without_large(page: Page, cursor: str, max_bytes: Bound) -> Page:
        sizes = [meta_size(entry.event.meta or {}) for entry in page.entries]
        too_large = max_bytes is not None and max(sizes, default=0) > 100
        return page._replace(entries=(), cursor=cursor, more=True) if too_large else page


@breaks(the_time_is_told_in_seconds_since_1970="in seconds since 1970")
class TellsTheTimeSinceItsStart(SoundBroker):
    def time(self) -> float:
        return time.monotonic()


@breaks(
    the_time_is_told_in_seconds_since_1970="in seconds since 1970", the_time_that_is_told_goes_on="as fast"
)
class TellsTheTimeInMilliseconds(SoundBroker):
    def time(self) -> float:
        return time.time() * 1_000


@breaks(the_time_that_is_told_goes_on="going on")
class TellsTheTimeOfItsStart(SoundBroker):
    """As a statement does that is answered from within one transaction."""

    told: float | None = None

    def time(self) -> float:
        self.told = self.told or time.time()
        return self.told
