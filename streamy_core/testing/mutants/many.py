"""Brokers that each break one promise of appending to many streams at once."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ...broker import Duplicate, Event, StreamEnded
from .appending import Ids
from .breaking import breaks
from .sound import SoundBroker

Batches = Mapping[str, Sequence[Event]]
Stored = Mapping[str, Ids]


class ReturnsOtherwise(SoundBroker):
    """A base: what is returned is what `told` makes of it."""

    def append_to_many(self, batches: Batches, **key: Any) -> Stored:
        return self.told(super().append_to_many(batches, **key))

    def told(self, stored: Stored) -> Stored:
        raise NotImplementedError


class GivesOthersOn(SoundBroker):
    """A base: what is appended, and to what, is what `names` and `events` make of it."""

    def append_to_many(self, batches: Batches, **key: Any) -> Stored:
        names = self.names(list(batches))
        given = {own: self.events(batches[name]) for own, name in names.items()}
        stored = super().append_to_many(given, **key)
        return {names[name]: ids for name, ids in stored.items()}

    def names(self, given: list[str]) -> dict[str, str]:
        """By the name that is used instead, the one that was given."""
        return {name: name for name in given}

    def events(self, given: Sequence[Event]) -> Sequence[Event]:
        return given


@breaks(each_of_many_streams_has_the_events_after_what_it_had="the ids of every stream are returned")
class AppendsToTheFirstOfMany(GivesOthersOn):
    def names(self, given: list[str]) -> dict[str, str]:
        return {name: name for name in given[:1]}


@breaks(each_of_many_streams_has_the_events_after_what_it_had="each stream has all events, in order")
class AppendsOneOfTheEventsToMany(GivesOthersOn):
    def events(self, given: Sequence[Event]) -> Sequence[Event]:
        return given[:1]


@breaks(each_of_many_streams_has_the_events_after_what_it_had="are the entries' ids")
class ReturnsOneStreamsIdsForAll(ReturnsOtherwise):
    def told(self, stored: Stored) -> Stored:
        return {name: next(iter(stored.values())) for name in stored}


@breaks(each_of_many_streams_may_have_events_of_its_own="events of its own")
class GivesAllWhatTheFirstGets(SoundBroker):
    def append_to_many(self, batches: Batches, **key: Any) -> Stored:
        first = next(iter(batches.values()), ())
        return super().append_to_many(dict.fromkeys(batches, first), **key)


@breaks(a_key_of_many_streams_with_events_of_their_own_is_one_of_each="the key was used before")
class HeedsNoKeyOfEventsOfTheirOwn(SoundBroker):
    def append_to_many(self, batches: Batches, **key: Any) -> Stored:
        same = len({id(events) for events in batches.values()}) <= 1
        return super().append_to_many(batches, **(key if same else {}))


@breaks(events_for_many_streams_are_kept_whole="retry=None")
class ForgetsRetriesOfMany(GivesOthersOn):
    def events(self, given: Sequence[Event]) -> Sequence[Event]:
        return [replace(event, retry=None) for event in given]


@breaks(of_many_streams_those_that_have_ended_are_left_out="StreamEnded")
class IsKeptFromAllByOneThatHasEnded(SoundBroker):
    def append_to_many(self, batches: Batches, **key: Any) -> Stored:
        return {name: self.append(name, events, **key) for name, events in batches.items()}


@breaks(of_many_streams_those_that_have_ended_are_left_out="is left out")
class StopsAtTheFirstThatHasEnded(SoundBroker):
    def append_to_many(self, batches: Batches, **key: Any) -> Stored:
        stored: dict[str, Ids] = {}
        try:
            for name, events in batches.items():
                stored[name] = self.append(name, events, **key)
        except StreamEnded:
            pass
        return stored


@breaks(of_many_streams_those_that_have_ended_are_left_out="is left out")
class ReturnsNoIdsOfOneThatHasEnded(SoundBroker):
    def append_to_many(self, batches: Batches, **key: Any) -> Stored:
        return {**{name: [] for name in batches}, **super().append_to_many(batches, **key)}


@breaks(
    repeating_a_key_for_many_streams_stores_nothing_more="",
    a_key_of_many_streams_is_one_of_each="",
    a_key_of_many_streams_still_counts_when_some_have_ended="",
)
class HeedsNoKeyOfMany(SoundBroker):
    def append_to_many(self, batches: Batches, **key: Any) -> Stored:
        return super().append_to_many(batches)


@breaks(a_key_of_many_streams_is_one_of_each="on this stream the key was used before")
class KeepsKeysOfManyApart(SoundBroker):
    def append_to_many(self, batches: Batches, **key: Any) -> Stored:
        given = key.get("idempotency_key")
        return super().append_to_many(batches, idempotency_key=given and f"many {given}")


@breaks(a_key_of_many_streams_is_one_of_each="KeyError")
class TakesAKeyThatOneKnowsForKnownByAll(SoundBroker):
    def append_to_many(self, batches: Batches, **key: Any) -> Stored:
        given = key.get("idempotency_key")
        known = {name: Duplicate(ids) for name in batches if (ids := self.log(name).keys.get(f"{given}"))}
        return known or super().append_to_many(batches, **key)


@breaks(a_key_of_many_streams_still_counts_when_some_have_ended="KeyError")
class LooksForEndsBeforeKeys(SoundBroker):
    def append_to_many(self, batches: Batches, **key: Any) -> Stored:
        going_on = {name: events for name, events in batches.items() if self.log(name).end is None}
        return super().append_to_many(going_on, **key)


@breaks(a_key_of_many_streams_still_counts_when_all_have_ended="looks as if it weren't")
class AsksForKeysOnlyWhereOneGoesOn(SoundBroker):
    """As where a key is looked for only once it has been in the way."""

    def append_to_many(self, batches: Batches, **key: Any) -> Stored:
        goes_on = any(self.log(name).end is None for name in batches)
        return super().append_to_many(batches if goes_on else {}, **key)


@breaks(no_events_for_many_streams_and_no_streams_do_nothing="")
class ReturnsNothingForNoEvents(SoundBroker):
    def append_to_many(self, batches: Batches, **key: Any) -> Stored:
        return super().append_to_many({name: events for name, events in batches.items() if events}, **key)


@breaks(many_streams_are_appended_to_under_their_exact_names="")
class DecodesNamesOfMany(GivesOthersOn):
    def names(self, given: list[str]) -> dict[str, str]:
        return {unquote(name): name for name in given}


@breaks(a_thousand_streams_are_appended_to_at_once="")
class TakesNineHundredStreams(GivesOthersOn):
    def names(self, given: list[str]) -> dict[str, str]:
        return {name: name for name in given[:900]}


@breaks(an_append_to_many_streams_rings_the_bell_of_each="the watch never named")
class RingsForTheFirstOfMany(SoundBroker):
    def append_to_many(self, batches: Batches, **key: Any) -> Stored:
        watches = self._watches
        stored: dict[str, Ids] = {}
        try:
            for name, events in batches.items():
                stored.update(super().append_to_many({name: events}, **key))
                self._watches = ()
        finally:
            self._watches = watches
        return stored


@breaks(an_append_to_many_streams_is_heard_and_read_in_other_processes="")
class KeepsWhatManyGetToItself(SoundBroker):
    def _write(self, fresh: Path) -> None:
        if not self._to_many:
            super()._write(fresh)

    _to_many = False

    def append_to_many(self, batches: Batches, **key: Any) -> Stored:
        self._to_many = True
        return super().append_to_many(batches, **key)


@breaks(appends_to_many_streams_at_once_lose_nothing_and_end="appending to streams that others append to")
class LocksManyInTheOrderTheyCome(SoundBroker):
    """Two that come in opposite orders wait for each other."""

    def __init__(self, folder: Path | None = None, history: int = 10_000) -> None:
        super().__init__(folder, history)
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def append_to_many(self, batches: Batches, **key: Any) -> Stored:
        with ExitStack() as locked:
            for name in batches:
                locked.enter_context(self._locks[name])
                time.sleep(0.001)
            return super().append_to_many(batches, **key)
