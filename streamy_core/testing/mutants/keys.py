"""Brokers that each break one promise of idempotency keys."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ...broker import Event, StreamEnded
from .appending import Ids
from .breaking import breaks
from .sound import Log, SoundBroker


class TakesKeysOtherwise(SoundBroker):
    """A base: the key that counts is what `taken` makes of it."""

    def append(self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None) -> Ids:
        return super().append(stream_id, events, idempotency_key=self.taken(idempotency_key))

    def taken(self, key: str | None) -> str | None:
        raise NotImplementedError


@breaks(
    a_repeated_key_stores_nothing_and_returns_the_same_ids="returns the ids of that first time",
    a_key_is_answered_after_the_end_too="StreamEnded: stream 'news' has ended",
    any_text_is_a_key="returns the ids of that first time",
    one_key_from_many_threads_stores_once="stored more than once",
)
class IgnoresKeys(TakesKeysOtherwise):
    def taken(self, key: str | None) -> str | None:
        return None


@breaks(any_text_is_a_key="the key '' was used before")
class TakesAnEmptyKeyForNone(TakesKeysOtherwise):
    def taken(self, key: str | None) -> str | None:
        return key or None


@breaks(any_text_is_a_key="the key '' is not the same with a space after it")
class StripsKeys(TakesKeysOtherwise):
    def taken(self, key: str | None) -> str | None:
        return key and key.strip()


class RemembersKeysItself(SoundBroker):
    """A base: what was stored under a key is looked up at its `place`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.known: dict[object, Ids] = {}

    def append(self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None) -> Ids:
        if idempotency_key is None or not events:
            return super().append(stream_id, events)
        place = self.place(stream_id, idempotency_key)
        if place in self.known:
            return self.known[place]
        self.meanwhile()
        return self.known.setdefault(place, super().append(stream_id, events))

    def place(self, stream_id: str, key: str) -> object:
        return stream_id, key

    def meanwhile(self) -> None:
        """Between looking a key up and storing."""


@breaks(a_key_holds_for_one_stream="a key of another stream")
class HasOneKeyForAllStreams(RemembersKeysItself):
    def place(self, stream_id: str, key: str) -> object:
        return key


@breaks(one_key_from_many_threads_stores_once="'a', 'a'")
class LooksKeysUpTooEarly(RemembersKeysItself):
    def meanwhile(self) -> None:
        time.sleep(0.01)  # a round trip, in which others look up the key as well


@breaks(appending_nothing_uses_up_no_key="has used up its key")
class UsesUpAKeyForNothing(RemembersKeysItself):
    def append(self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None) -> Ids:
        if idempotency_key is not None and not events:
            self.known[stream_id, idempotency_key] = []
        return super().append(stream_id, events, idempotency_key=idempotency_key)


@breaks(a_key_is_answered_after_the_end_too="StreamEnded: stream 'news' has ended")
class ForgetsKeysAtTheEnd(SoundBroker):
    def end(self, stream_id: str) -> None:
        super().end(stream_id)
        self._logs[stream_id].keys.clear()


@breaks(a_key_is_answered_whatever_the_events_are_now="a key is of its first append")
class HasAKeyForEachEvents(RemembersKeysItself):
    def append(self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None) -> Ids:
        key = None if idempotency_key is None else f"{idempotency_key} {events!r}"
        return super().append(stream_id, events, idempotency_key=key)


@breaks(any_text_is_a_key="", keys_are_exact="a key was taken for another")
class CutsKeys(TakesKeysOtherwise):
    def taken(self, key: str | None) -> str | None:
        return key and key[:200]


@breaks(keys_are_exact="a key was taken for another")
class FoldsTheCaseOfKeys(TakesKeysOtherwise):
    def taken(self, key: str | None) -> str | None:
        return key and key.lower()


@breaks(any_text_is_a_key="UnicodeEncodeError")
class CannotEncodeSomeKeys(TakesKeysOtherwise):
    def taken(self, key: str | None) -> str | None:
        return key and key.encode().decode()


class ForgetsKeysItsOwnWay(SoundBroker):
    """A base: before each append, keys are forgotten."""

    def _log_for_writing(self, stream_id: str) -> Log:
        log = super()._log_for_writing(stream_id)
        for key in self.over(log):
            log.keys.pop(key, None)
        return log

    def over(self, log: Log) -> list[str]:
        raise NotImplementedError


@breaks(a_key_outlasts_many_later_ones="a key is forgotten after 250 later appends")
class RemembersTenKeys(ForgetsKeysItsOwnWay):
    def over(self, log: Log) -> list[str]:
        return list(log.keys)[:-10]


@breaks(a_key_outlasts_many_later_entries="a key is forgotten after 3 later appends of 500 entries")
class RemembersKeysOfAThousandEntries(ForgetsKeysItsOwnWay):
    def over(self, log: Log) -> list[str]:
        newest = {entry.id for entry in log.entries[-1_000:]}
        return [key for key, ids in log.keys.items() if ids[-1] not in newest]


@breaks(a_key_outlasts_its_entries="a key is forgotten when its entries are trimmed")
class ForgetsKeysWithTheirEntries(ForgetsKeysItsOwnWay):
    def over(self, log: Log) -> list[str]:
        kept = {entry.id for entry in log.entries}
        return [key for key, ids in log.keys.items() if ids[-1] not in kept]


@breaks(a_key_outlasts_seconds="a key is forgotten within 2.5 s")
class RemembersKeysForTwoSeconds(SoundBroker):
    def _log_for_writing(self, stream_id: str) -> Log:
        log = super()._log_for_writing(stream_id)
        if log.times and log.times[-1] < time.time() - 2:
            log.keys.clear()
        return log


@breaks(
    a_key_of_an_append_that_was_refused_stores_nothing_later="DID NOT RAISE",
)
class UsesUpAKeyThatWasRefused(RemembersKeysItself):
    def append(self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None) -> Ids:
        try:
            return super().append(stream_id, events, idempotency_key=idempotency_key)
        except StreamEnded:
            if idempotency_key is not None:
                self.known[stream_id, idempotency_key] = []
            raise


@breaks(a_repeated_key_stores_nothing_and_returns_the_same_ids="returns the ids of that first time")
class AnswersWithTheLastIdOnly(SoundBroker):
    def _remember(self, log: Log, key: str, ids: Ids) -> None:
        super()._remember(log, key, ids[-1:])


@breaks(a_repeated_key_stores_nothing_and_returns_the_same_ids="stores nothing")
class StoresAgainUnderTheFirstIds(SoundBroker):
    def append(self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None) -> Ids:
        known = stream_id in self._logs and self._logs[stream_id].keys.get(idempotency_key or "")
        ids = super().append(stream_id, events)
        if known:
            return known
        if idempotency_key is not None:
            self._logs[stream_id].keys[idempotency_key] = ids
        return ids
