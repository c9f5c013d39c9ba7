"""A corner of a shared broker, so that tests which use the same backend don't meet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence

from ..broker import Broker, Watch
from ..errors import Closed, StreamEnded
from ..events import MAX_STREAM_ID, Event, Page
from .capabilities import Wrapper


class Namespaced(Wrapper):
    """Streams of another broker whose names begin with `space`; to whoever uses it, all that there are.

    Closing it closes its watches, and the other broker if `owns` it. Any thread.
    """

    def __init__(self, broker: Broker, space: str, *, owns: bool = False) -> None:
        self._broker = broker
        self._space = space
        self._owns = owns
        self._watches: list[Watch] = []
        self._hashed: dict[str, str] = {}  # names that are too long with what they begin with here
        self._closed = False
        self.shared: bool = broker.shared
        self.rings_within: float = broker.rings_within
        self.quiet_for: float = broker.quiet_for

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        try:
            return self.inner().append(self.inner_name(stream_id), events, idempotency_key=idempotency_key)
        except StreamEnded:
            raise StreamEnded(stream_id) from None

    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        names = {name: self.inner_name(name) for name in cursors}
        inner = {names[name]: cursor for name, cursor in cursors.items()}
        pages = self.inner().read(inner, limit, max_bytes)
        return {name: _renamed(pages[inner_name], name) for name, inner_name in names.items()}

    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        names = {name: self.inner_name(name) for name in stream_ids}
        tails = self.inner().tail(list(names.values()))
        return {name: tails[inner_name] for name, inner_name in names.items()}

    def end(self, stream_id: str) -> None:
        self.inner().end(self.inner_name(stream_id))

    def watch(self) -> Watch:
        watch = _NamespacedWatch(self.inner().watch(), self.inner_name)
        self._watches.append(watch)
        return watch

    def close(self) -> None:
        self._closed = True
        if self._owns:
            self._broker.close()
            return
        for watch in self._watches:
            watch.close()

    def inner(self) -> Broker:
        if self._closed and not self._owns:
            raise Closed("this broker has been closed")
        return self._broker  # which says by itself that it is closed

    def inner_name(self, stream_id: str) -> str:
        name = self._space + stream_id
        if len(name) <= MAX_STREAM_ID:
            return name
        digest = hashlib.sha256(stream_id.encode("utf-8", "surrogatepass")).hexdigest()
        self._hashed[digest] = stream_id
        return self._space + digest

    def outer_name(self, name: str) -> str | None:
        if not name.startswith(self._space):
            return None
        rest = name.removeprefix(self._space)
        return self._hashed.get(rest, rest)


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
