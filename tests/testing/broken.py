"""Brokers that each break one promise of appending and reading."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from streamy_backends.memory import MemoryBroker
from streamy_core import OLDEST, Event
from streamy_core.broker import Page
from streamy_core.ids import ID

Ids = list[str]
Pages = Mapping[str, Page]
Bound = int | None


class StoresEventsChanged(MemoryBroker):
    """A base: what is stored is what `changed` makes of it."""

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        return super().append(stream_id, [self.changed(event) for event in events], **key)

    def changed(self, event: Event) -> Event:
        raise NotImplementedError


class NormalisesLineBreaks(StoresEventsChanged):
    def changed(self, event: Event) -> Event:
        return replace(event, data=event.data.replace("\r\n", "\n"))


class ForgetsARetryOfZero(StoresEventsChanged):
    def changed(self, event: Event) -> Event:
        return replace(event, retry=event.retry or None)


class NamesEveryEvent(StoresEventsChanged):
    def changed(self, event: Event) -> Event:
        return replace(event, name=event.name or "message")


class CallsStreamsOtherwise(MemoryBroker):
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


class FoldsCase(CallsStreamsOtherwise):
    def called(self, stream_id: str) -> str:
        return stream_id.lower()


class NormalisesUnicode(CallsStreamsOtherwise):
    def called(self, stream_id: str) -> str:
        return unicodedata.normalize("NFC", stream_id)


class PadsNamesWithSpaces(CallsStreamsOtherwise):
    def called(self, stream_id: str) -> str:
        return stream_id.rstrip(" ")


class TakesKeysOtherwise(MemoryBroker):
    """A base: the key that counts is what `taken` makes of it."""

    def append(self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None) -> Ids:
        return super().append(stream_id, events, idempotency_key=self.taken(idempotency_key))

    def taken(self, key: str | None) -> str | None:
        raise NotImplementedError


class IgnoresKeys(TakesKeysOtherwise):
    def taken(self, key: str | None) -> str | None:
        return None


class TakesAnEmptyKeyForNone(TakesKeysOtherwise):
    def taken(self, key: str | None) -> str | None:
        return key or None


class StripsKeys(TakesKeysOtherwise):
    def taken(self, key: str | None) -> str | None:
        return key and key.strip()


class RemembersKeysItself(MemoryBroker):
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


class HasOneKeyForAllStreams(RemembersKeysItself):
    def place(self, stream_id: str, key: str) -> object:
        return key


class LooksKeysUpTooEarly(RemembersKeysItself):
    def meanwhile(self) -> None:
        time.sleep(0.01)  # a round trip, in which others look up the key as well


class UsesUpAKeyForNothing(RemembersKeysItself):
    def append(self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None) -> Ids:
        if idempotency_key is not None and not events:
            self.known[stream_id, idempotency_key] = []
        return super().append(stream_id, events, idempotency_key=idempotency_key)


class ForgetsKeysAtTheEnd(MemoryBroker):
    def end(self, stream_id: str) -> None:
        super().end(stream_id)
        self._logs[stream_id].keys.clear()


class StoresHalfABatch(MemoryBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        return super().append(stream_id, events[:256], **key)


class StoresABatchInTheWrongOrder(MemoryBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        return super().append(stream_id, [*events[256:], *events[:256]], **key)


class MixesStreamsUp(MemoryBroker):
    """It keeps in the object what belongs to a call."""

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        self._current = stream_id
        time.sleep(0.0001)
        return super().append(self._current, events, **key)


class HandsOutShortPages(MemoryBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return super().read(cursors, min(limit, 50), max_bytes)


class IgnoresTheLimit(MemoryBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return super().read(cursors, 10_000, max_bytes)


class ReadsTwoAtLeast(MemoryBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return super().read(cursors, max(limit, 2), max_bytes)


class LeavesUnknownStreamsOut(MemoryBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        known = {name: cursor for name, cursor in cursors.items() if name in self._logs}
        return super().read(known or cursors, limit, max_bytes)


class ReadsFiveHundredStreams(MemoryBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return super().read(dict(islice(cursors.items(), 500)), limit, max_bytes)


class CannotReadNothing(MemoryBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        if not cursors:
            raise ValueError("no streams to read")
        return super().read(cursors, limit, max_bytes)


class CreatesStreamsByReading(MemoryBroker):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        for name in cursors:
            self._log_for_writing(name, self._clock())
        return super().read(cursors, limit, max_bytes)


class AsksForTheCursorAfterwards(MemoryBroker):
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


class PagesItsOwnWay(MemoryBroker):
    """A base: a page is what `page` makes of the sound one."""

    def _page(self, stream_id: str, cursor: str, limit: int, max_bytes: Bound, now: float) -> Page:
        return self.page(super()._page(stream_id, cursor, limit, max_bytes, now), stream_id, cursor, limit)

    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        raise NotImplementedError

    def from_the_oldest(self, stream_id: str, limit: int) -> Page:
        return super()._page(stream_id, OLDEST, limit, None, self._clock())


class RepeatsTheEntryAtTheCursor(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        at = [entry for entry in self._logs[stream_id].entries if entry.id == cursor] if sound.entries else []
        return sound._replace(entries=(*at, *sound.entries)[:limit])


class RepeatsTheNewestEntry(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        log = self._logs.get(stream_id)
        newest = log and len(log.entries) > 100 and cursor == log.last
        return sound._replace(entries=(log.entries[-1],)) if log and newest else sound


class LeadsOnFromTheNewest(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return sound._replace(cursor=self._logs[stream_id].last) if len(sound.entries) == limit else sound


class ComparesIdsAsText(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return sound._replace(entries=tuple(entry for entry in sound.entries if entry.id > cursor))


class StepsOverWhatWasTrimmed(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        epoch, nonce = slice(6), slice(-4, None)
        known = cursor[epoch] == sound.cursor[epoch] and cursor[nonce] == sound.cursor[nonce]
        return self.from_the_oldest(stream_id, limit) if sound.gap and known else sound


class RaisesForAStrangeCursor(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        if sound.gap and not ID.fullmatch(cursor):
            raise ValueError(f"not a cursor: {cursor[:20]!r}")
        return sound


class GivesEntriesWithAGap(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return self.from_the_oldest(stream_id, limit)._replace(gap=True) if sound.gap else sound


class TakesStrangeCursorsForTheHead(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return Page((), self._logs[stream_id].last) if sound.gap and stream_id in self._logs else sound


class KnowsNoGapOfAnUnknownStream(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return sound._replace(gap=False) if stream_id not in self._logs else sound


class TellsOfTheEndEarly(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        ended = stream_id in self._logs and self._logs[stream_id].end is not None
        return sound._replace(ended=ended and not sound.gap)


class TellsOfTheEndWithAGap(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        ended = sound.gap and stream_id in self._logs and self._logs[stream_id].end is not None
        return sound._replace(ended=ended or sound.ended)
