"""What some brokers can do beyond the interface, for brokers around another one.

A capability is told by `isinstance` with its protocol, which looks at the class: so a broker around
another is of a class that has just what the other can.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from ..broker import (
    AppendsLast,
    AppendsToMany,
    AppendsWithin,
    Broker,
    EndsWithin,
    Forgets,
    HasTables,
    KeepsMeta,
    ListsStreams,
    PartlyUnavailable,
    ReadsBack,
    StreamInfo,
    TellsTime,
)
from ..events import Event

T = TypeVar("T")


class Wrapper(Broker):
    """A broker around another one, the inner one, that can do what that can."""

    def __new__(cls, broker: Broker, *_: Any, **__: Any) -> Wrapper:
        more = tuple([mixin for protocol, mixin in _MIXINS if isinstance(broker, protocol)])
        kind: type[Any] = cls
        if more:
            kind = type(cls.__name__, (cls, *more), {"__module__": cls.__module__})
        made: Wrapper = super().__new__(kind)
        return made

    def inner(self) -> Any:
        """The inner broker. Raises if it can't be used now."""
        raise NotImplementedError

    def inner_name(self, stream_id: str) -> str:
        """What the inner broker calls this stream."""
        return stream_id

    def outer_name(self, name: str) -> str | None:
        """What a stream of the inner broker is called here; None for one that isn't to be seen."""
        return name

    def appending(self, stream_ids: Collection[str], append: Callable[[], T]) -> T:
        """Called for each append to these streams: it is to return what `append` does."""
        return append()

    def on_appended(self, stream_id: str, events: Sequence[Event], ids: Sequence[str]) -> None:
        """Called with what has been appended to a stream, but for what is part of a transaction."""

    def on_ended(self, stream_id: str) -> None:
        """Called when a stream has been ended, but for what is part of a transaction."""


class _AppendsToMany(Wrapper):
    def append_to_many(
        self, batches: Mapping[str, Sequence[Event]], *, idempotency_key: str | None = None
    ) -> Mapping[str, list[str]]:
        names = {self.inner_name(name): name for name in batches}
        inner = {own: batches[name] for own, name in names.items()}

        def append() -> dict[str, list[str]]:
            try:
                stored = self.inner().append_to_many(inner, idempotency_key=idempotency_key)
            except PartlyUnavailable as error:
                raise PartlyUnavailable(self._called(error.stored, names), error.fault) from error
            return self._called(stored, names)

        stored = self.appending(batches, append)
        for name, ids in stored.items():
            self.on_appended(name, batches[name], ids)
        return stored

    @staticmethod
    def _called(stored: Mapping[str, list[str]], names: Mapping[str, str]) -> dict[str, list[str]]:
        return {names[name]: ids for name, ids in stored.items()}


class _AppendsLast(Wrapper):
    def append_last(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        def append() -> list[str]:
            ids: list[str] = self.inner().append_last(
                self.inner_name(stream_id), events, idempotency_key=idempotency_key
            )
            return ids

        ids = self.appending([stream_id], append)
        self.on_appended(stream_id, events, ids)
        self.on_ended(stream_id)
        return ids


class _AppendsWithin(Wrapper):
    def append_within(
        self, session: Any, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        def append() -> list[str]:
            ids: list[str] = self.inner().append_within(
                session, self.inner_name(stream_id), events, idempotency_key=idempotency_key
            )
            return ids

        return self.appending([stream_id], append)


class _EndsWithin(Wrapper):
    def end_within(self, session: Any, stream_id: str) -> None:
        self.inner().end_within(session, self.inner_name(stream_id))


class _HasTables(Wrapper):
    def create_tables(self) -> None:
        self.inner().create_tables()


class _Forgets(Wrapper):
    def forget(self, idle_for: float, *, ended: bool = False) -> int:
        count: int = self.inner().forget(idle_for, ended=ended)
        return count


class _ReadsBack(Wrapper):
    def back(self, cursors: Mapping[str, str | None], entries: int) -> Mapping[str, str]:
        inner = {self.inner_name(name): cursor for name, cursor in cursors.items()}
        found: Mapping[str, str] = self.inner().back(inner, entries)
        return {name: found[self.inner_name(name)] for name in cursors}

    def since(self, stream_ids: Collection[str], seconds: float) -> Mapping[str, str]:
        inner = [self.inner_name(name) for name in stream_ids]
        found: Mapping[str, str] = self.inner().since(inner, seconds)
        return {name: found[self.inner_name(name)] for name in stream_ids}


class _KeepsMeta(Wrapper):
    keeps_meta: bool = True


class _TellsTime(Wrapper):
    def time(self) -> float:
        told: float = self.inner().time()
        return told


class _ListsStreams(Wrapper):
    def streams(self) -> Iterable[StreamInfo]:
        for info in self.inner().streams():
            if (name := self.outer_name(info.stream_id)) is not None:
                yield replace(info, stream_id=name)


_MIXINS: Final[tuple[tuple[type, type[Wrapper]], ...]] = (
    (AppendsLast, _AppendsLast),
    (AppendsToMany, _AppendsToMany),
    (AppendsWithin, _AppendsWithin),
    (EndsWithin, _EndsWithin),
    (Forgets, _Forgets),
    (HasTables, _HasTables),
    (KeepsMeta, _KeepsMeta),
    (ListsStreams, _ListsStreams),
    (ReadsBack, _ReadsBack),
    (TellsTime, _TellsTime),
)
