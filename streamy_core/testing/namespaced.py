"""A corner of a shared broker, so that tests which use the same backend don't meet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from ..broker import Broker, ListsStreams, StreamInfo, Watch
from ..errors import Closed
from ..events import MAX_STREAM_ID, Event, Page

_OF_ONE_STREAM: Final = {"append_within": 1}
"""Capabilities whose argument at this place is a stream's name."""


class Namespaced(Broker):
    """Streams of another broker whose names begin with `space`; to whoever uses it, all that there are.

    Closing it closes its watches, and the other broker if `owns` it. Any thread.
    """

    def __init__(self, broker: Broker, space: str, *, owns: bool = False) -> None:
        self._broker = broker
        self._space = space
        self._owns = owns
        self._watches: list[Watch] = []
        self._closed = False
        self.shared = broker.shared  # type: ignore[misc]  # as that of the other one

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        return self._inner.append(self._name(stream_id), events, idempotency_key=idempotency_key)

    def read(self, cursors: Mapping[str, str], limit: int) -> Mapping[str, Page]:
        names = {name: self._name(name) for name in cursors}
        pages = self._inner.read({names[name]: cursor for name, cursor in cursors.items()}, limit)
        return {name: _renamed(pages[inner], name) for name, inner in names.items()}

    def tail(self, stream_id: str) -> str:
        return self._inner.tail(self._name(stream_id))

    def end(self, stream_id: str) -> None:
        self._inner.end(self._name(stream_id))

    def watch(self) -> Watch:
        watch = _NamespacedWatch(self._inner.watch(), self._name)
        self._watches.append(watch)
        return watch

    def close(self) -> None:
        self._closed = True
        for watch in self._watches:
            watch.close()
        if self._owns:
            self._broker.close()

    def __getattr__(self, name: str) -> Any:
        """The other broker's capabilities, if it has them."""
        found = getattr(self._broker, name)
        if name == "streams" and isinstance(self._broker, ListsStreams):
            return self._list
        if name in _OF_ONE_STREAM:
            place = _OF_ONE_STREAM[name]
            return lambda *args, **kwargs: found(
                *args[:place], self._name(args[place]), *args[place + 1 :], **kwargs
            )
        return found

    @property
    def _inner(self) -> Broker:
        if self._closed:
            raise Closed("this broker has been closed")
        return self._broker

    def _name(self, stream_id: str) -> str:
        name = self._space + stream_id
        if len(name) <= MAX_STREAM_ID:
            return name
        return self._space + hashlib.sha256(stream_id.encode("utf-8", "surrogatepass")).hexdigest()

    def _list(self) -> Iterable[StreamInfo]:
        assert isinstance(self._broker, ListsStreams)
        for info in self._broker.streams():
            if info.stream_id.startswith(self._space):
                yield replace(info, stream_id=info.stream_id.removeprefix(self._space))


class _NamespacedWatch(Watch):
    def __init__(self, watch: Watch, name: Callable[[str], str]) -> None:
        self._watch = watch
        self._name = name
        self._outer: dict[str, str] = {}

    def add(self, stream_id: str) -> None:
        name = self._name(stream_id)
        self._outer[name] = stream_id
        self._watch.add(name)

    def discard(self, stream_id: str) -> None:
        self._watch.discard(self._name(stream_id))

    def wait(self, timeout: float | None) -> Collection[str]:
        return [self._outer[name] for name in self._watch.wait(timeout)]

    def interrupt(self) -> None:
        self._watch.interrupt()

    def close(self) -> None:
        self._watch.close()


def _renamed(page: Page, stream_id: str) -> Page:
    return page._replace(entries=tuple([entry._replace(stream_id=stream_id) for entry in page.entries]))
