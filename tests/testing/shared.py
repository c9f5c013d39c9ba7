"""A sound broker that processes share and that can be taken away, and others that break one promise."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from streamy_backends.memory import Limits, MemoryBroker
from streamy_core import BrokerUnavailable, Closed, Event, StreamEnded
from streamy_core.broker import Broker, Watch

from .broken import Bound, Ids, Pages


class Backend:
    """Makes brokers that share a log of one name, and takes them all their logs away and gives them back."""

    def __init__(self, kind: type[SharedMemory]) -> None:
        self._kind = kind
        self._logs: dict[str, MemoryBroker] = {}
        self.away = False
        self.outages = 0
        self.busy: Broker | None = None

    def __call__(self, log: str = "log", *, history: int = 10_000) -> SharedMemory:
        return self._kind(self, self._logs.setdefault(log, MemoryBroker(Limits(history=history))))

    def stop(self) -> None:
        self.away = True

    def start(self) -> None:
        self.away = False
        self.outages += 1


class SharedMemory(Broker):
    """It is sound: each stands for a process of its own, over a log that is everybody's."""

    def __init__(self, backend: Backend, log: MemoryBroker) -> None:
        self._backend = backend
        self._log = log
        self._watches: list[Watch] = []
        self._closed = False

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        return self._reach().append(stream_id, events, **key)

    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return self._reach().read(cursors, limit, max_bytes)

    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        return self._reach().tail(stream_ids)

    def end(self, stream_id: str) -> None:
        self._reach().end(stream_id)

    def watch(self) -> Watch:
        watch = self._watch_of(self._reach())
        self._watches.append(watch)
        return watch

    def close(self) -> None:
        self._closed = True
        for watch in self._watches:
            watch.close()

    def _reach(self) -> MemoryBroker:
        if self._closed:
            raise Closed("this broker has been closed")
        if self._backend.away:
            raise BrokerUnavailable("the backend is away")
        return self._log

    def _watch_of(self, log: MemoryBroker) -> Watch:
        return SharedWatch(self._backend, log)


class SharedWatch(Watch):
    """It is sound: after an outage it names everything."""

    def __init__(self, backend: Backend, log: MemoryBroker) -> None:
        self._backend = backend
        self._log = log
        self._bells = log.watch()
        self._names: set[str] = set()
        self._outages = backend.outages

    def add(self, stream_id: str) -> None:
        self._names.add(stream_id)
        self._bells.add(stream_id)

    def discard(self, stream_id: str) -> None:
        self._names.discard(stream_id)
        self._bells.discard(stream_id)

    def wait(self, timeout: float | None) -> Collection[str]:
        if self._outages == self._backend.outages:
            return self._bells.wait(timeout)
        self._outages = self._backend.outages
        return self._after_an_outage()

    def interrupt(self) -> None:
        self._bells.interrupt()

    def close(self) -> None:
        self._bells.close()

    def _after_an_outage(self) -> Collection[str]:
        return list(self._names)


class RingsInItsOwnProcessOnly(SharedMemory):
    def __init__(self, backend: Backend, log: MemoryBroker) -> None:
        super().__init__(backend, log)
        self._own = MemoryBroker()

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        ids = super().append(stream_id, events, **key)
        self._own.append(stream_id, events)
        return ids

    def end(self, stream_id: str) -> None:
        super().end(stream_id)
        self._own.end(stream_id)

    def _watch_of(self, log: MemoryBroker) -> Watch:
        return self._own.watch()


class ConfirmsItsFirstSubscriptionOnly(SharedMemory):
    def _watch_of(self, log: MemoryBroker) -> Watch:
        return UnconfirmedWatch(self._backend, log)


class UnconfirmedWatch(SharedWatch):
    """The first `add` waits for its subscription; those of later ones go out with the next command."""

    def __init__(self, backend: Backend, log: MemoryBroker) -> None:
        super().__init__(backend, log)
        self._unsent: list[str] = []

    def add(self, stream_id: str) -> None:
        self._send()
        if self._names:
            self._unsent.append(stream_id)
            self._names.add(stream_id)
        else:
            super().add(stream_id)

    def wait(self, timeout: float | None) -> Collection[str]:
        self._send()
        return super().wait(timeout)

    def _send(self) -> None:
        while self._unsent:
            self._bells.add(self._unsent.pop())


class KnowsItsOwnKeysOnly(SharedMemory):
    def append(self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None) -> Ids:
        own = None if idempotency_key is None else f"{id(self)} {idempotency_key}"
        return super().append(stream_id, events, idempotency_key=own)


class KnowsItsOwnEndsOnly(SharedMemory):
    def __init__(self, backend: Backend, log: MemoryBroker) -> None:
        super().__init__(backend, log)
        self._ended: set[str] = set()

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        try:
            return super().append(stream_id, events, **key)
        except StreamEnded:
            if stream_id in self._ended:
                raise
            return ["lost"]

    def end(self, stream_id: str) -> None:
        super().end(stream_id)
        self._ended.add(stream_id)


class ReadsItsOwnEntriesFirst(SharedMemory):
    def __init__(self, backend: Backend, log: MemoryBroker) -> None:
        super().__init__(backend, log)
        self._own: set[str] = set()

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        ids = super().append(stream_id, events, **key)
        self._own.update(ids)
        return ids

    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return {
            name: page._replace(
                entries=tuple(sorted(page.entries, key=lambda entry: entry.id not in self._own))
            )
            for name, page in super().read(cursors, limit, max_bytes).items()
        }


class KeepsTailsToItself(SharedMemory):
    def __init__(self, backend: Backend, log: MemoryBroker) -> None:
        super().__init__(backend, log)
        self._tails: dict[str, str] = {}

    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        return {
            name: tail if name in self._log._logs else self._own(tail)
            for name, tail in super().tail(stream_ids).items()
        }

    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        known = {own: tail for tail, own in self._tails.items()}
        cursors = {name: known.get(cursor, cursor) for name, cursor in cursors.items()}
        return super().read(cursors, limit, max_bytes)

    def _own(self, tail: str) -> str:
        return self._tails.setdefault(tail, f"tail{len(self._tails)}.{id(self)}")


class LosesWhatOthersPublishMeanwhile(SharedMemory):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        before, self._backend.busy = self._backend.busy, self
        time.sleep(0.0005)
        if before not in (None, self):
            return ["lost"]
        ids = super().append(stream_id, events, **key)
        self._backend.busy = None
        return ids


class TakesItsLogAlong(SharedMemory):
    def close(self) -> None:
        super().close()
        self._log._logs.clear()


class RaisesWhatItsDriverRaises(SharedMemory):
    def _reach(self) -> MemoryBroker:
        if self._backend.away:
            raise ConnectionError("connection refused")
        return super()._reach()


class ReadsOnWithoutABackend(SharedMemory):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return self._log.read(cursors, limit, max_bytes)


class StaysAway(SharedMemory):
    def _reach(self) -> MemoryBroker:
        if self._backend.outages:
            raise BrokerUnavailable("the connection is broken")
        return super()._reach()


class StoresLaterWhatItRefused(SharedMemory):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        if self._backend.away:
            self._refused = stream_id, events
        ids = super().append(stream_id, events, **key)
        if refused := self.__dict__.pop("_refused", None):
            super().append(*refused)
        return ids


class LosesTheNewestEntry(SharedMemory):
    def _reach(self) -> MemoryBroker:
        log = super()._reach()._logs.get("news")
        if self._backend.outages == 1 and log and len(log.entries) == 2:
            log.entries.pop()
            log.last = log.entries[-1].id
        return super()._reach()


class ForgetsBellsInAnOutage(SharedMemory):
    def _watch_of(self, log: MemoryBroker) -> Watch:
        return ForgetfulWatch(self._backend, log)


class ForgetfulWatch(SharedWatch):
    def _after_an_outage(self) -> Collection[str]:
        self._bells.close()
        self._bells = self._log.watch()
        for name in self._names:
            self._bells.add(name)
        return ()
