"""Watches that each break one promise."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from typing import Any

from streamy_backends.memory import MemoryBroker
from streamy_core import OLDEST
from streamy_core.broker import BaseWatch, Page, Watch


def with_watch(kind: type[BaseWatch]) -> type[MemoryBroker]:
    """A sound broker with watches of this kind."""

    class WithWatch(MemoryBroker):
        def watch(self) -> Watch:
            watch = kind(self._unwatch)
            watch.read = self.read  # type: ignore[attr-defined]
            with self._lock():
                self._watches = (*self._watches, watch)
            return watch

    WithWatch.__name__ = kind.__name__
    return WithWatch


class ForgetsWhatRangBeforeWait(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        self._rung.clear()
        return super().wait(timeout)


class RemembersOneBellOnly(BaseWatch):
    def ring(self, stream_ids: Iterable[str]) -> None:
        self._rung.clear()
        super().ring(stream_ids)


class ForgetsWhatRangBeforeAnAdd(BaseWatch):
    def add(self, stream_id: str) -> None:
        super().add(stream_id)
        self._rung.clear()


class ForgetsWhatRangBeforeItIsAddedAgain(BaseWatch):
    def add(self, stream_id: str) -> None:
        super().add(stream_id)
        self._rung.discard(stream_id)


class ForgetsWhatRingsWhileItCollects(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        rung = super().wait(timeout)
        time.sleep(0.002)
        self._rung.clear()
        return rung


class IsDeafOnceDiscarded(BaseWatch):
    def discard(self, stream_id: str) -> None:
        super().discard(stream_id)
        self._gone = {*getattr(self, "_gone", ()), stream_id}

    def ring(self, stream_ids: Iterable[str]) -> None:
        super().ring(set(stream_ids).difference(getattr(self, "_gone", ())))


class DiscardsOnlyWhatIsWatched(BaseWatch):
    def discard(self, stream_id: str) -> None:
        self._names.remove(stream_id)


class WakesNobody(BaseWatch):
    def ring(self, stream_ids: Iterable[str]) -> None:
        self._mark(stream_ids)


class WatchesFiveHundredStreams(BaseWatch):
    def add(self, stream_id: str) -> None:
        if len(self._names) < 500:
            super().add(stream_id)


class ForgetsAnEarlyInterrupt(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        self._interrupted = False
        return super().wait(timeout)


class IsNotInterruptedWhileItWaits(BaseWatch):
    def interrupt(self) -> None:
        self._interrupted = True


class WaitsOnWhenClosed(BaseWatch):
    def close(self) -> None:
        self._closed = True


class WaitsThoughClosed(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        return () if self._closed else super().wait(timeout)


class RingsForEver(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        super().wait(0)
        return list(self._names)


class KnowsNoTimeout(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        return super().wait(None)


class NeverBlocks(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        return super().wait(0)


class RingsOneWatchOnly(MemoryBroker):
    def append(self, *args: Any, **key: Any) -> list[str]:
        all_of_them, self._watches = self._watches, self._watches[:1]
        ids = super().append(*args, **key)
        self._watches = all_of_them
        return ids


class EndsWithoutABell(MemoryBroker):
    def end(self, stream_id: str) -> None:
        all_of_them, self._watches = self._watches, ()
        super().end(stream_id)
        self._watches = all_of_them


class LeavesItsWatchesOpen(MemoryBroker):
    def close(self) -> None:
        self._watches = ()
        super().close()


class ClosesItsWatchesQuietly(MemoryBroker):
    """It wakes no `wait` that is under way."""

    def close(self) -> None:
        for watch in self._watches:
            watch._closed = True
        self._watches = ()
        super().close()


class BringsEntriesAlong(BaseWatch):
    """It is sound: what it brings is what the log holds."""

    read: Any

    def wait(self, timeout: float | None) -> Collection[str]:
        self._brought = set(super().wait(timeout))
        return self._brought

    def brought(self, stream_id: str, cursor: str) -> Page | None:
        if stream_id not in self._brought:
            return None
        self._brought.remove(stream_id)
        return self.page(stream_id, cursor)

    def page(self, stream_id: str, cursor: str) -> Page:
        return self.read({stream_id: cursor}, 100)[stream_id]  # type: ignore[no-any-return]


class BringsFromTheOldestOn(BringsEntriesAlong):
    def page(self, stream_id: str, cursor: str) -> Page:
        return super().page(stream_id, OLDEST)


class BringsOnlyTheNewest(BringsEntriesAlong):
    def page(self, stream_id: str, cursor: str) -> Page:
        page = super().page(stream_id, cursor)
        return page._replace(entries=page.entries[-1:])


class BringsNothing(BringsEntriesAlong):
    def brought(self, stream_id: str, cursor: str) -> Page | None:
        return None


class BringsAgainAndAgain(BringsEntriesAlong):
    def brought(self, stream_id: str, cursor: str) -> Page | None:
        return self.page(stream_id, cursor)
