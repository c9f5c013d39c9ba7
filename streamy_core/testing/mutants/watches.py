"""Watches that each break one promise."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from ...broker import OLDEST, BaseWatch, Page
from .breaking import breaks
from .sound import SoundBroker


@breaks(
    a_bell_that_rang_before_wait_is_not_forgotten="the watch never named",
    a_thousand_streams_are_watched_at_once="the watch never named",
    adding_again_forgets_no_bell="the watch never named",
    adding_twice_and_discarding_once_stops_watching="the watch never named",
    an_append_after_add_makes_a_wait_name_the_stream="the watch never named",
    every_watch_hears_every_bell="the watch never named",
    the_end_rings_too="the watch never named",
)
class ForgetsWhatRangBeforeWait(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        self._rung.clear()
        return super().wait(timeout)


@breaks(
    a_bell_that_rang_before_wait_is_not_forgotten="never named ['a', 'b']",
    a_thousand_streams_are_watched_at_once="the watch never named",
)
class RemembersOneBellOnly(BaseWatch):
    def ring(self, stream_ids: Iterable[str]) -> None:
        self._rung.clear()
        super().ring(stream_ids)


@breaks(
    adding_again_forgets_no_bell="the watch never named",
    no_bell_is_forgotten_in_a_storm_of_adds_discards_and_appends="the watch never named 'stream-",
)
class ForgetsWhatRangBeforeAnAdd(BaseWatch):
    def add(self, stream_id: str) -> None:
        super().add(stream_id)
        self._rung.clear()


@breaks(adding_again_forgets_no_bell="the watch never named")
class ForgetsWhatRangBeforeItIsAddedAgain(BaseWatch):
    def add(self, stream_id: str) -> None:
        super().add(stream_id)
        self._rung.discard(stream_id)


@breaks(no_bell_is_forgotten_in_a_storm_of_adds_discards_and_appends="the watch never named 'stream-")
class ForgetsWhatRingsWhileItCollects(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        rung = super().wait(timeout)
        time.sleep(0.002)
        self._rung.clear()
        return rung


@breaks(
    adding_twice_and_discarding_once_stops_watching="the watch never named",
    no_bell_is_forgotten_in_a_storm_of_adds_discards_and_appends="round 0: the watch never named 'stream-",
)
class IsDeafOnceDiscarded(BaseWatch):
    def discard(self, stream_id: str) -> None:
        super().discard(stream_id)
        self._gone = {*getattr(self, "_gone", ()), stream_id}

    def ring(self, stream_ids: Iterable[str]) -> None:
        super().ring(set(stream_ids).difference(getattr(self, "_gone", ())))


@breaks(
    adding_twice_and_discarding_once_stops_watching="KeyError: 'news'",
    no_bell_is_forgotten_in_a_storm_of_adds_discards_and_appends="KeyError: 'stream-",
)
class DiscardsOnlyWhatIsWatched(BaseWatch):
    def discard(self, stream_id: str) -> None:
        self._names.remove(stream_id)


@breaks(a_bell_wakes_a_wait_under_way="a bell wakes the wait under way: not within")
class WakesNobody(BaseWatch):
    def ring(self, stream_ids: Iterable[str]) -> None:
        self._mark(stream_ids)


@breaks(a_thousand_streams_are_watched_at_once="never named ['s500', 's600'")
class WatchesFiveHundredStreams(BaseWatch):
    def add(self, stream_id: str) -> None:
        if len(self._names) < 500:
            super().add(stream_id)


@breaks(every_watch_hears_every_bell="the watch never named")
class RingsOneWatchOnly(SoundBroker):
    def append(self, *args: Any, **key: Any) -> list[str]:
        all_of_them, self._watches = self._watches, self._watches[:1]
        ids = super().append(*args, **key)
        self._watches = all_of_them
        return ids


@breaks(the_end_rings_too="the watch never named")
class EndsWithoutABell(SoundBroker):
    def end(self, stream_id: str) -> None:
        all_of_them, self._watches = self._watches, ()
        super().end(stream_id)
        self._watches = all_of_them


class BringsEntriesAlong(BaseWatch):
    """It is sound: what it brings is what the log holds."""

    broker: SoundBroker

    def wait(self, timeout: float | None) -> Collection[str]:
        self._brought = set(super().wait(timeout))
        return self._brought

    def brought(self, stream_id: str, cursor: str) -> Page | None:
        if stream_id not in self._brought:
            return None
        self._brought.remove(stream_id)
        return self.page(stream_id, cursor)

    def page(self, stream_id: str, cursor: str) -> Page:
        return self.broker.read({stream_id: cursor}, 100)[stream_id]


@breaks(what_bells_bring_along_is_what_the_log_holds="'before'")
class BringsFromTheOldestOn(BringsEntriesAlong):
    def page(self, stream_id: str, cursor: str) -> Page:
        return super().page(stream_id, OLDEST)


@breaks(what_bells_bring_along_is_what_the_log_holds="cursor")
class BringsOnlyTheNewest(BringsEntriesAlong):
    def page(self, stream_id: str, cursor: str) -> Page:
        page = super().page(stream_id, cursor)
        return page._replace(entries=page.entries[-1:])


@breaks(what_bells_bring_along_is_what_the_log_holds="meta=None")
class BringsNoMeta(BringsEntriesAlong):
    def page(self, stream_id: str, cursor: str) -> Page:
        page = super().page(stream_id, cursor)
        without = [entry._replace(event=replace(entry.event, meta=None)) for entry in page.entries]
        return page._replace(entries=tuple(without))


@breaks(what_bells_bring_along_is_what_the_log_holds="no bell ever brought")
class BringsNothing(BringsEntriesAlong):
    def brought(self, stream_id: str, cursor: str) -> Page | None:
        return None


@breaks(what_bells_bring_along_is_what_the_log_holds="is given no more")
class BringsAgainAndAgain(BringsEntriesAlong):
    def brought(self, stream_id: str, cursor: str) -> Page | None:
        return self.page(stream_id, cursor)


class NamesEachOnceWhenItIsAdded(BaseWatch):
    """A base: every stream is named once when it is added, as if it had grown."""

    def add(self, stream_id: str) -> None:
        with self._lock:
            if stream_id not in self._names:
                super().add(stream_id)
                super().ring((stream_id,))


_NEVER = "the watch never named"


@breaks(
    an_append_after_add_makes_a_wait_name_the_stream=_NEVER,
    a_later_append_makes_a_later_wait_name_the_stream=_NEVER,
    the_end_rings_too=_NEVER,
    a_bell_that_rang_before_wait_is_not_forgotten=_NEVER,
    adding_again_forgets_no_bell=_NEVER,
    adding_another_stream_forgets_no_bell=_NEVER,
    discarding_another_stream_forgets_no_bell=_NEVER,
    a_bell_wakes_a_wait_under_way="not within",
    a_thousand_streams_are_watched_at_once=_NEVER,
    bells_name_streams_exactly=_NEVER,
    every_watch_hears_every_bell=_NEVER,
    closing_a_watch_leaves_others_be=_NEVER,
    an_interrupt_forgets_no_bell=_NEVER,
)
class HasNoBellAtAll(NamesEachOnceWhenItIsAdded):
    def ring(self, stream_ids: Iterable[str]) -> None:
        pass


@breaks(a_later_append_makes_a_later_wait_name_the_stream=_NEVER, a_bell_wakes_a_wait_under_way="not within")
class RingsOnceOnly(BaseWatch):
    rung: frozenset[str] = frozenset()

    def ring(self, stream_ids: Iterable[str]) -> None:
        super().ring(set(stream_ids) - self.rung)
        self.rung = self.rung.union(stream_ids)


@breaks(
    an_append_after_add_makes_a_wait_name_the_stream="within 0.5 s",
    the_end_rings_too="within 0.5 s",
    a_bell_wakes_a_wait_under_way="not within 0.5 s",
    every_watch_hears_every_bell="within 0.5 s",
)
class RingsThreeSecondsLate(BaseWatch):
    def ring(self, stream_ids: Iterable[str]) -> None:
        late = threading.Timer(3, super().ring, [list(stream_ids)])
        late.daemon = True
        late.start()


@breaks(
    a_watch_at_rest_names_nothing_and_leaves_the_cpu_alone="never stops ringing",
    an_append_after_add_makes_a_wait_name_the_stream="never stops ringing",
)
class NamesEverythingAllTheTime(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        super().wait(0.01 if timeout is None else min(timeout, 0.01))
        return list(self._names)


@breaks(a_watch_at_rest_names_nothing_and_leaves_the_cpu_alone="the watch named")
class NamesEverythingNowAndThen(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        rung = super().wait(0.3 if timeout is None else min(timeout, 0.3))
        return rung or (list(self._names) if timeout is None or timeout > 0.3 else rung)


@breaks(
    a_discarded_stream_is_named_no_more="nobody watches", adding_twice_and_discarding_once_stops_watching=""
)
class DiscardsNothing(BaseWatch):
    def discard(self, stream_id: str) -> None:
        pass


@breaks(adding_twice_and_discarding_once_stops_watching="nobody watches")
class CountsAdds(BaseWatch):
    added: tuple[str, ...] = ()

    def add(self, stream_id: str) -> None:
        self.added = (*self.added, stream_id)
        super().add(stream_id)

    def discard(self, stream_id: str) -> None:
        left = list(self.added)
        if stream_id in left:
            left.remove(stream_id)
        self.added = tuple(left)
        if stream_id not in left:
            super().discard(stream_id)


@breaks(a_stream_that_was_never_added_is_not_named="nobody watches")
class NamesWhatWasNeverAdded(BaseWatch):
    def ring(self, stream_ids: Iterable[str]) -> None:
        with self._lock:
            self._rung.update(stream_ids)
            self._wake()


@breaks(discarding_another_stream_forgets_no_bell=_NEVER)
class ForgetsAllBellsAtADiscard(BaseWatch):
    def discard(self, stream_id: str) -> None:
        super().discard(stream_id)
        self._rung.clear()


@breaks(adding_another_stream_forgets_no_bell=_NEVER)
class ForgetsAllBellsAtAnAdd(BaseWatch):
    def add(self, stream_id: str) -> None:
        if stream_id not in self._names:
            self._rung.clear()
        super().add(stream_id)


@breaks(bells_name_streams_exactly=_NEVER)
class NamesStreamsInLowerCase(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        return [name.lower() for name in super().wait(timeout)]


@breaks(bells_name_streams_exactly=_NEVER)
class NamesStreamsWithPercents(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        return [quote(name) for name in super().wait(timeout)]


@breaks(the_end_rings_too="never written to")
class EndsInSilenceWhatWasNeverWrittenTo(SoundBroker):
    def end(self, stream_id: str) -> None:
        all_of_them = self._watches
        self._watches = self._watches if stream_id in self._logs else ()
        super().end(stream_id)
        self._watches = all_of_them
