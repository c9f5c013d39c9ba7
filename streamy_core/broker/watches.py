"""Two watches to build on: one that is told what has grown, and one that asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Final

from ..errors import BrokerUnavailable, Closed
from ..events import CANARY
from .interface import Watch
from .polling import AdaptivePolling, PollScheduler

OnClose = Callable[["BaseWatch"], None]
Look = Callable[[Collection[str]], Mapping[str, Hashable]]
"""The state of each of these streams that is there: anything that changes whenever the stream does."""


class BaseWatch(Watch):
    """A watch that is told, by `ring`, which streams have grown.

    As it is, `wait` blocks on a condition. A watch that has to listen itself (to a socket, say)
    overrides `_listen` and `_wake`, and says by `_mark` what it has heard; one that has something to
    free overrides `_free`.

    on_close: called when the watch is closed, once.
    """

    def __init__(self, on_close: OnClose | None = None) -> None:
        self._on_close = on_close
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._waiting = threading.Lock()  # held by who waits, and to free what that uses
        self._names: set[str] = set()
        self._rung: set[str] = set()
        self._interrupted = False
        self._fault: BrokerUnavailable | None = None
        self._closed = False
        self._freed = False

    def add(self, stream_id: str) -> None:
        with self._lock:
            self._names.add(stream_id)

    def discard(self, stream_id: str) -> None:
        with self._lock:
            self._names.discard(stream_id)
            self._rung.discard(stream_id)

    def ring(self, stream_ids: Iterable[str]) -> None:
        """These streams may have grown; those that nobody watches are passed over. Any thread."""
        with self._lock:
            rung = self._names.intersection(stream_ids)
            if rung and not self._rung:  # else whoever waits has been woken already
                self._wake()
            self._rung |= rung

    def ring_all(self) -> None:
        """Every stream that is watched may have grown: bells may have been lost. Any thread."""
        with self._lock:
            self.ring(self._names)

    def fail(self, fault: BrokerUnavailable) -> None:
        """Bells have been lost, and more will be: from now on `wait` raises this. Any thread."""
        with self._lock:
            self._fault = fault
            self._wake()

    def wait(self, timeout: float | None) -> Collection[str]:
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            with self._waiting:
                return self._wait_until(deadline)
        finally:
            self._free_if_closed()

    def interrupt(self) -> None:
        with self._lock:
            self._interrupted = True
            self._wake()

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._wake()
        if self._on_close is not None:
            self._on_close(self)
        self._free_if_closed()

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._closed

    def _wait_until(self, deadline: float | None) -> Collection[str]:
        self._check_open()
        passed = False
        while True:
            with self._lock:
                if self._fault is not None and not self._closed:
                    raise self._fault
                if self._is_due() or passed:
                    self._interrupted = False
                    rung, self._rung = self._rung, set()
                    return rung
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            passed = left == 0  # looked at once more, so that `wait(0)` hears what has come
            self._listen(left)

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("this watch has been closed")

    def _is_due(self) -> bool:
        """Whether `wait` is to return now."""
        return bool(self._rung) or self._interrupted or self._closed or self._fault is not None

    def _mark(self, stream_ids: Iterable[str]) -> None:
        """As `ring`, for `_listen` to call: the waiting thread needn't be woken."""
        with self._lock:
            self._rung |= self._names.intersection(stream_ids)

    def _listen(self, timeout: float | None) -> None:
        """Block until something may have come, `_wake` is called, or so many seconds are over.

        Only the waiting thread calls it. May raise BrokerUnavailable, and may return for nothing.
        """
        with self._changed:
            self._changed.wait_for(self._is_due, timeout)

    def _wake(self) -> None:
        """Make the `_listen` under way, or else the next one, return at once. Called with the lock held."""
        self._changed.notify_all()

    def _free(self) -> None:
        """Free what `_listen` uses. Called once, after closing, when nobody waits."""

    def _free_if_closed(self) -> None:
        # Whoever waits frees it when it has left; nobody is waited for.
        if self._closed and self._waiting.acquire(blocking=False):
            try:
                if not self._freed:
                    self._freed = True
                    self._free()
            finally:
                self._waiting.release()


_UNSEEN: Final = object()


class PollingWatch(BaseWatch):
    """A watch that asks for the state of all its streams now and then, and names those that differ.

    Whoever knows that something has grown calls `look_soon`.

    look:    tells the state of these streams, in one round trip. Raises BrokerUnavailable.
    polling: says how long to wait between two looks.
    """

    shortest: float = 0.005
    """Seconds between two looks at least, however often `look_soon` is called: one finds all that came."""

    def __init__(
        self, look: Look, polling: PollScheduler | None = None, on_close: OnClose | None = None
    ) -> None:
        super().__init__(on_close)
        self._look = look
        self._polling = polling or AdaptivePolling()
        self._seen: dict[str, Hashable] = {}  # None: there is no such stream
        self._unseen: set[str] = set()
        self._soon = False
        self._look_at = self._grown_at = time.monotonic()
        self._looked_at = self._look_at - self.shortest  # so that the first look comes at once

    def add(self, stream_id: str) -> None:
        with self._lock:
            if stream_id not in self._names:
                self._names.add(stream_id)
                self._seen[stream_id] = _UNSEEN
                self._unseen.add(stream_id)
                self.look_soon()

    def discard(self, stream_id: str) -> None:
        with self._lock:
            super().discard(stream_id)
            self._seen.pop(stream_id, None)
            self._unseen.discard(stream_id)

    def look_soon(self) -> None:
        """Something may have grown: look without waiting for the interval. Any thread."""
        with self._lock:
            self._soon = True
            self._wake()

    def _listen(self, timeout: float | None) -> None:
        left = self._due_in()
        if left != 0:
            self._sleep(min([seconds for seconds in (left, timeout) if seconds is not None], default=None))
            left = self._due_in()
        if left == 0:
            self._look_around()

    def _due_in(self) -> float | None:
        """Seconds until the next look; None as long as nothing is watched."""
        now = time.monotonic()
        if self._soon:
            self._soon = False
            self._look_at = max(min(now, self._look_at), self._looked_at + self.shortest)
        return max(0.0, self._look_at - now) if self._seen else None

    def _sleep(self, timeout: float | None) -> None:
        """Block for so many seconds, or until `_wake` is called."""
        with self._changed:
            self._changed.wait_for(lambda: self._soon or self._is_due(), timeout)

    def _idle_for(self, now: float) -> float:
        """For how many seconds nothing has grown: what the scheduler is asked with."""
        return now - self._grown_at

    def _look_around(self) -> None:
        now = time.monotonic()
        found = self._find()
        with self._lock:
            before = {name: self._seen[name] for name in found if name in self._seen}
            changed = {name: found[name] for name, state in before.items() if found[name] != state}
            self._seen.update(changed)
            self._unseen.difference_update(changed)
        if any(before[name] is not _UNSEEN and not name.startswith(CANARY) for name in changed):
            self._grown_at = now  # a canary grows all the time, and is no reason to look often
        self._looked_at = time.monotonic()
        self._look_at = self._looked_at + self._polling.due_in(self._idle_for(now))
        # What wasn't there at its first look hasn't grown.
        self._mark(
            [name for name, state in changed.items() if state is not None or before[name] is not _UNSEEN]
        )

    def _find(self) -> Mapping[str, Hashable]:
        """The state of each stream that is looked at, which are all; None for one that isn't there."""
        with self._lock:
            names = list(self._seen)
        found = self._look(names)
        return {name: found.get(name) for name in names}
