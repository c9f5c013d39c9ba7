"""Brokers around a real one, for tests: they remember what is published, and fail on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from ..broker import Broker, Watch
from ..errors import BrokerUnavailable
from ..events import Event, Page
from .capabilities import Wrapper

T = TypeVar("T")


class RecordingBroker(Wrapper):
    """A broker that remembers what was published through it. Closes the inner one. Any thread.

    What is published within a transaction of the app's isn't remembered: it may roll back.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._recorded: dict[tuple[str, str], Event] = {}  # by stream and id, in order
        self._ended: list[str] = []
        self.shared: bool = broker.shared  # as that of the inner one

    def published(self, stream_id: str) -> list[str]:
        """The data of what was published to this stream, in order."""
        return [event.data for event in self.events(stream_id)]

    def events(self, stream_id: str) -> list[Event]:
        """What was published to this stream, in order, whole."""
        return [event for (name, _), event in list(self._recorded.items()) if name == stream_id]

    @property
    def ended(self) -> list[str]:
        """The streams that were ended, in order."""
        return list(self._ended)

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        ids = self.inner().append(stream_id, events, idempotency_key=idempotency_key)
        self.on_appended(stream_id, events, ids)
        return ids

    def on_appended(self, stream_id: str, events: Sequence[Event], ids: Sequence[str]) -> None:
        for event, entry_id in zip(events, ids, strict=False):
            self._recorded.setdefault((stream_id, entry_id), event)  # a repeated key gives its first ids

    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        return self.inner().read(cursors, limit, max_bytes)

    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        return self.inner().tail(stream_ids)

    def end(self, stream_id: str) -> None:
        self.inner().end(stream_id)
        self.on_ended(stream_id)

    def on_ended(self, stream_id: str) -> None:
        if stream_id not in self._ended:
            self._ended.append(stream_id)

    def watch(self) -> Watch:
        return self.inner().watch()

    def close(self) -> None:
        self._broker.close()

    def inner(self) -> Broker:
        return self._broker


class FaultyBroker(RecordingBroker):
    """A broker that fails on demand. Any thread."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self._lock = threading.Lock()
        self._away = False
        self._appends_to_fail: list[bool] = []  # whether each is stored all the same
        self._bells_to_lose = 0
        self._watches: list[_FaultyWatch] = []

    def fail_next_append(self, times: int = 1, *, stored: bool = False) -> None:
        """Let so many appends, and ends, fail. stored: whether each is done all the same, as when only the
        answer is lost."""
        with self._lock:
            self._appends_to_fail += [stored] * times

    def lose_next_bell(self, times: int = 1) -> None:
        """Let so many appends ring no bell: readers hear of them by the next one, or by the watchdog."""
        with self._lock:
            self._bells_to_lose += times

    def go_away(self) -> None:
        """Let every call raise BrokerUnavailable, and every wait under way, until `come_back`."""
        self._away = True
        for watch in list(self._watches):
            watch.interrupt()

    def come_back(self) -> None:
        """Be there again. A watch that was cut off has to be made anew, as with a real backend."""
        self._away = False

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        append = super().append
        return self.appending([stream_id], lambda: append(stream_id, events, idempotency_key=idempotency_key))

    def appending(self, stream_ids: Collection[str], append: Callable[[], T]) -> T:
        return self._failing("append", stream_ids, append)

    def end(self, stream_id: str) -> None:
        end = super().end
        self._failing("end", [stream_id], lambda: end(stream_id))

    def _failing(self, what: str, stream_ids: Collection[str], action: Callable[[], T]) -> T:
        """Do it, unless it has been told to fail."""
        self.check()
        with self._lock:
            stored = self._appends_to_fail.pop(0) if self._appends_to_fail else None
            if self._bells_to_lose and stored is not False:
                self._bells_to_lose -= 1
                for watch in self._watches:
                    watch.lose(stream_ids)
        if stored is False:
            raise BrokerUnavailable(f"this {what} was told to fail")
        result = action()
        if stored:
            raise BrokerUnavailable(f"the answer to this {what} was told to be lost")
        return result

    def inner(self) -> Broker:
        self.check()
        return super().inner()

    def watch(self) -> Watch:
        watch = _FaultyWatch(super().watch(), self)
        self._watches.append(watch)
        return watch

    def check(self) -> None:
        """Raise BrokerUnavailable while it is away."""
        if self._away:
            raise BrokerUnavailable("this broker was told to go away")


class _FaultyWatch(Watch):
    def __init__(self, watch: Watch, broker: FaultyBroker) -> None:
        self._watch = watch
        self._broker = broker
        self._names: set[str] = set()
        self._lost: list[str] = []

    def lose(self, stream_ids: Collection[str]) -> None:
        self._lost += [name for name in stream_ids if name in self._names]

    def add(self, stream_id: str) -> None:
        self._broker.check()
        self._names.add(stream_id)
        self._watch.add(stream_id)

    def discard(self, stream_id: str) -> None:
        self._names.discard(stream_id)
        self._watch.discard(stream_id)

    def wait(self, timeout: float | None) -> Collection[str]:
        self._broker.check()
        rung = set(self._watch.wait(timeout))
        self._broker.check()
        for name in rung.intersection(self._lost):
            self._lost.remove(name)
            rung.discard(name)
        return rung

    def interrupt(self) -> None:
        self._watch.interrupt()

    def close(self) -> None:
        self._watch.close()
