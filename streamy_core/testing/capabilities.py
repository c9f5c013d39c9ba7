"""What some brokers can do beyond the interface, for brokers that stand before another one.

A capability is told by `isinstance` with its protocol, which looks at the class: so a broker that
stands before another is of a class that has just what the other can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from ..broker import AppendsWithin, Broker, HasTables, ListsStreams, StreamInfo
from ..events import Event


class StandIn(Broker):
    """A broker that stands before another one, and can what that can."""

    def __new__(cls, broker: Broker, *_: Any, **__: Any) -> StandIn:
        more = tuple([mixin for protocol, mixin in _MIXINS if isinstance(broker, protocol)])
        kind = type(cls.__name__, (cls, *more), {"__module__": cls.__module__}) if more else cls
        return super().__new__(kind)

    def behind(self) -> Any:
        """The one behind. Raises if it can't be used now."""
        raise NotImplementedError

    def inside(self, stream_id: str) -> str:
        """The stream's name behind."""
        return stream_id

    def outside(self, name: str) -> str | None:
        """The name, from outside, of a stream behind; None for one that isn't to be seen."""
        return name

    def appending(self, stream_id: str, append: Callable[[], list[str]]) -> list[str]:
        """Called for each append."""
        return append()


class _AppendsWithin(StandIn):
    def append_within(
        self,
        session: Any,
        stream_id: str,
        events: Sequence[Event],
        *,
        idempotency_key: str | None = None,
    ) -> list[str]:
        def append() -> list[str]:
            ids: list[str] = self.behind().append_within(
                session, self.inside(stream_id), events, idempotency_key=idempotency_key
            )
            return ids

        return self.appending(stream_id, append)


class _HasTables(StandIn):
    def create_tables(self) -> None:
        self.behind().create_tables()


class _ListsStreams(StandIn):
    def streams(self) -> Iterable[StreamInfo]:
        for info in self.behind().streams():
            if (name := self.outside(info.stream_id)) is not None:
                yield replace(info, stream_id=name)


_MIXINS: Final[tuple[tuple[type, type[StandIn]], ...]] = (
    (AppendsWithin, _AppendsWithin),
    (HasTables, _HasTables),
    (ListsStreams, _ListsStreams),
)
