"""Brokers that each break one promise of ids, tails, ends, histories or of their own life."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from secrets import token_hex
from typing import Any

from streamy_backends.memory import Limits, MemoryBroker
from streamy_core import OLDEST, BrokerUnavailable, Closed, Event, StreamEnded
from streamy_core.broker import Page
from streamy_core.ids import UNPLACEABLE, sequence_of

from .broken import Bound, Ids, Pages, PagesItsOwnWay


class MakesIdsByChance(MemoryBroker):
    """It is sound: nothing can be read from an id, and none comes before another."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._tokens: dict[str, str] = {}
        self._ids: dict[str, str] = {}

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        return [self._token(entry_id) for entry_id in super().append(stream_id, events, **key)]

    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        return {name: self._token(tail) for name, tail in super().tail(stream_ids).items()}

    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        known = {name: self._ids.get(cursor, cursor and "?") for name, cursor in cursors.items()}
        return {
            name: page._replace(
                entries=tuple(entry._replace(id=self._token(entry.id)) for entry in page.entries),
                cursor=self._token(page.cursor),
            )
            for name, page in super().read(known, limit, max_bytes).items()
        }

    def back(self, cursors: Mapping[str, str | None], entries: int) -> Mapping[str, str]:
        known = {name: cursor and self._ids.get(cursor, "?") for name, cursor in cursors.items()}
        return self._tokens_of(super().back(known, entries))

    def since(self, stream_ids: Collection[str], seconds: float) -> Mapping[str, str]:
        return self._tokens_of(super().since(stream_ids, seconds))

    def _tokens_of(self, cursors: Mapping[str, str]) -> Mapping[str, str]:
        no_ids = (OLDEST, UNPLACEABLE)
        return {name: each if each in no_ids else self._token(each) for name, each in cursors.items()}

    def _token(self, entry_id: str) -> str:
        token = self._tokens.setdefault(entry_id, token_hex(8))
        self._ids[token] = entry_id
        return token


class HasTheSameIdsInEveryStream(MemoryBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        self._log_for_writing(stream_id, self._clock()).nonce = "000"
        return super().append(stream_id, events, **key)


class HasTheSameIdsInEveryHistory(MemoryBroker):
    def _start(self) -> None:
        super()._start()
        self._epoch = "00000"

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        nonce = sha256(stream_id.encode()).hexdigest()[:3]
        self._log_for_writing(stream_id, self._clock()).nonce = nonce
        return super().append(stream_id, events, **key)


class HasIdsWithColons(MemoryBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        self._log_for_writing(stream_id, self._clock()).nonce = token_hex(2) + ":"
        return super().append(stream_id, events, **key)


class ReturnsOtherIds(MemoryBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        ids = super().append(stream_id, events, **key)
        return ids[::-1] if len(ids) == 2 and not key else ids


class TellsTailsItsOwnWay(MemoryBroker):
    """A base: a tail is what `tail_of` makes of the sound one."""

    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        return {name: self.tail_of(name, sound) for name, sound in super().tail(stream_ids).items()}

    def tail_of(self, stream_id: str, sound: str) -> str:
        raise NotImplementedError


class HasABadTailForAnUnknownStream(TellsTailsItsOwnWay):
    def tail_of(self, stream_id: str, sound: str) -> str:
        return sound if stream_id in self._logs else token_hex(8)


class HasItsTailAtTheStart(TellsTailsItsOwnWay):
    def tail_of(self, stream_id: str, sound: str) -> str:
        log = self._logs.get(stream_id)
        return log.before if log and log.end is None else sound


class HasItsTailAfterTheEnd(TellsTailsItsOwnWay):
    def tail_of(self, stream_id: str, sound: str) -> str:
        log = self._logs.get(stream_id)
        return log.end if log and log.end else sound


class HasNoCursorInAnUnknownStream(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return sound._replace(cursor=cursor) if stream_id not in self._logs else sound


class ForgetsAnEnd(MemoryBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        try:
            return super().append(stream_id, events, **key)
        except StreamEnded:
            self._logs[stream_id].end = None
            return super().append(stream_id, events, **key)


class StoresInAnEndedStreamAllTheSame(MemoryBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        try:
            return super().append(stream_id, events, **key)
        except StreamEnded:
            self._store(self._logs[stream_id], stream_id, events, self._clock())
            raise


class EndsWithTheLastId(MemoryBroker):
    def end(self, stream_id: str) -> None:
        super().end(stream_id)
        self._logs[stream_id].end = self._logs[stream_id].last


class EndsAnewEachTime(MemoryBroker):
    def end(self, stream_id: str) -> None:
        super().end(stream_id)
        self._logs[stream_id].end = f"end.{token_hex(4)}"


class KnowsNotItsOwnEnd(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return Page((), sound.cursor, gap=True) if sound.ended and cursor == sound.cursor else sound


class ForgetsWhatWasReadToItsEnd(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        if sound.ended and sound.entries:
            log = self._logs[stream_id]
            log.before = log.last
            log.entries.clear()
        return sound


class RefusesNothingAfterTheEnd(MemoryBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        if stream_id in self._logs and self._logs[stream_id].end and not events:
            raise StreamEnded(stream_id)
        return super().append(stream_id, events, **key)


class KeepsTooLittle(MemoryBroker):
    def __init__(self, limits: Limits) -> None:
        super().__init__(replace(limits, history=limits.history // 2))


class KeepsAll(MemoryBroker):
    def __init__(self, limits: Limits) -> None:
        super().__init__(replace(limits, history=10_000))


class CountsAppends(KeepsAll):
    """Its history is of so many appends, however many events each has."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._most = limits.history
        self._sizes: dict[str, list[int]] = {}

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        ids = super().append(stream_id, events, **key)
        sizes = self._sizes.setdefault(stream_id, [])
        sizes.append(len(events))
        if len(sizes) > self._most:
            for _ in range(sizes.pop(0)):
                self._logs[stream_id].drop_oldest()
        return ids


class ForgetsTheCursorBeforeTheOldest(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        trimmed = cursor != OLDEST and stream_id in self._logs and cursor == self._logs[stream_id].before
        return Page((), cursor, gap=True) if trimmed and sequence_of(cursor) else sound


class WorksOnWhenClosed(MemoryBroker):
    def close(self) -> None:
        for watch in self._watches:
            watch.close()


class ClosesOnlyOnce(MemoryBroker):
    def close(self) -> None:
        if self._closed:
            raise Closed("this memory broker has been closed already")
        super().close()


class DiesInAFork(MemoryBroker):
    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._made_in = os.getpid()

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        if os.getpid() != self._made_in:
            raise BrokerUnavailable("the thread that does this is another process's")
        return super().append(stream_id, events, **key)
