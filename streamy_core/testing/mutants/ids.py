"""Brokers that each break one promise of ids and tails."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from secrets import token_hex
from typing import Any

from ...broker import OLDEST, Event, Page, StreamInfo
from ...ids import UNPLACEABLE
from .appending import Bound, Ids, Pages, PagesItsOwnWay
from .breaking import breaks
from .sound import Log, SoundBroker


class MakesIdsByChance(SoundBroker):
    """It is sound: nothing can be read from an id, and none comes before another."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._tokens: dict[str, str] = {}
        self._ids: dict[str, str] = {}

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        return [self._token(entry_id) for entry_id in super().append(stream_id, events, **key)]

    def append_last(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        ids = super().append_last(stream_id, events, **key)
        return type(ids)(map(self._token, ids))

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

    def streams(self) -> Iterable[StreamInfo]:
        return [replace(info, last=self._token(info.last)) for info in super().streams()]

    def _tokens_of(self, cursors: Mapping[str, str]) -> Mapping[str, str]:
        no_ids = (OLDEST, UNPLACEABLE)
        return {name: each if each in no_ids else self._token(each) for name, each in cursors.items()}

    def _token(self, entry_id: str) -> str:
        token = self._tokens.setdefault(entry_id, token_hex(8))
        self._ids[token] = entry_id
        return token


@breaks(
    ids_are_unlike_and_safe_to_send="two entries have one id",
    a_cursor_of_another_stream_is_a_gap="no cursor in another",
)
class HasTheSameIdsInEveryStream(SoundBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        self._log_for_writing(stream_id).nonce = "000"
        return super().append(stream_id, events, **key)


@breaks(a_cursor_of_another_history_is_a_gap="two histories")
class HasTheSameIdsInEveryHistory(SoundBroker):
    def _start(self) -> None:
        super()._start()
        self._epoch = "00000"

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        nonce = sha256(stream_id.encode()).hexdigest()[:3]
        self._log_for_writing(stream_id).nonce = nonce
        return super().append(stream_id, events, **key)


@breaks(
    ids_are_unlike_and_safe_to_send="begins with a letter or digit",
    the_end_has_a_cursor_of_its_own="the end's cursor is an id like any other",
)
class HasIdsWithColons(SoundBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        self._log_for_writing(stream_id).nonce = token_hex(2) + ":"
        return super().append(stream_id, events, **key)


@breaks(append_returns_the_ids_under_which_entries_are_read="At index 0 diff")
class ReturnsOtherIds(SoundBroker):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        ids = super().append(stream_id, events, **key)
        return ids[::-1] if len(ids) == 2 and not key else ids


class TellsTailsItsOwnWay(SoundBroker):
    """A base: a tail is what `tail_of` makes of the sound one."""

    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        return {name: self.tail_of(name, sound) for name, sound in super().tail(stream_ids).items()}

    def tail_of(self, stream_id: str, sound: str) -> str:
        raise NotImplementedError


@breaks(
    the_tail_of_an_unknown_stream_stays_good_when_it_appears="that nothing has caused",
    a_stream_can_end_before_its_first_event="gap=True",
    a_thousand_tails_are_asked_for_at_once="that nothing has caused",
    tails_of_many_streams_are_those_of_each="Omitting 50 identical items",
)
class HasABadTailForAnUnknownStream(TellsTailsItsOwnWay):
    def tail_of(self, stream_id: str, sound: str) -> str:
        return sound if stream_id in self._logs else token_hex(8)


@breaks(
    tail_is_the_place_from_now_on="['old', 'new'] == ['new']",
    a_thousand_tails_are_asked_for_at_once="{'s0': ['old']} != {'s0': []}",
    tails_of_many_streams_are_those_of_each="['old', 'new s",
)
class HasItsTailAtTheStart(TellsTailsItsOwnWay):
    def tail_of(self, stream_id: str, sound: str) -> str:
        log = self._logs.get(stream_id)
        return log.before if log and log.end is None else sound


@breaks(the_tail_of_an_ended_stream_lies_before_its_end="is to be told of the end")
class HasItsTailAfterTheEnd(TellsTailsItsOwnWay):
    def tail_of(self, stream_id: str, sound: str) -> str:
        log = self._logs.get(stream_id)
        return log.end if log and log.end else sound


@breaks(every_page_has_a_cursor_that_can_be_kept="also the cursor of a stream that doesn't exist")
class HasNoCursorInAnUnknownStream(PagesItsOwnWay):
    def page(self, sound: Page, stream_id: str, cursor: str, limit: int) -> Page:
        return sound._replace(cursor=cursor) if stream_id not in self._logs else sound


@breaks(an_end_of_another_stream_is_no_cursor="each end has an id of its own")
class HasOneEndForAllStreams(SoundBroker):
    def end(self, stream_id: str) -> None:
        super().end(stream_id)
        self._logs[stream_id].end = f"end.{self._epoch}"


@breaks(a_cursor_of_another_history_is_a_gap="two histories")
class HasOneEndForAllHistories(SoundBroker):
    def end(self, stream_id: str) -> None:
        super().end(stream_id)
        self._logs[stream_id].end = f"end.{sha256(stream_id.encode()).hexdigest()}"

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        ids = super().append(stream_id, events, **key)
        self._logs[stream_id].end = (
            self._logs[stream_id].end or f"end.{sha256(stream_id.encode()).hexdigest()}"
        )
        return ids


@breaks(ids_are_not_used_again_after_the_data_was_deleted="")
class BeginsAgainAtTheSameIds(SoundBroker):
    """Whoever deletes its data gets the same ids again."""

    def _start(self) -> None:
        super()._start()
        self._epoch = "00000"

    def log(self, stream_id: str) -> Log:
        log = super().log(stream_id)
        log.nonce = sha256(f"{self._folder} {stream_id}".encode()).hexdigest()[:3]
        return log
