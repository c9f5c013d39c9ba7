"""The doorbell: one thread asks, at intervals or when a bell rings, for the heads of all watched streams."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final

from streamy_core.broker import Watch
from streamy_core.errors import Closed

from .bells import Bell
from .pages import State
from .polling import PollScheduler

_UNSEEN: Final = State("", -1, None)

_FOR_LONG: Final = 86_400.0

_SHORTEST: Final = 0.005
"""Seconds between two looks, however often bells ring: one finds all that came meanwhile."""

Look = Callable[[Collection[str]], Mapping[str, State]]
"""The present state of those of these streams that are there."""


class SqlWatch(Watch):
    """See the module. A stream is named if its state differs from that of the last look.

    look:     asks the database.
    polling:  says when. With a bell that hears, it is asked at the longest interval only.
    """

    def __init__(
        self, look: Look, bell: Bell, polling: PollScheduler, on_close: Callable[[SqlWatch], None]
    ) -> None:
        self._look = look
        self._bell = bell
        self._polling = polling
        self._on_close = on_close
        self._lock = threading.Lock()
        self._waiting = threading.Lock()  # held by who waits, and to free the bell
        self._seen: dict[str, State | None] = {}  # None: there is no such stream
        self._rung = False
        self._interrupted = False
        self._closed = False
        self._looked_at = self._grown_at = time.monotonic()
        self._look_at = self._looked_at

    def add(self, stream_id: str) -> None:
        with self._lock:
            self._seen.setdefault(stream_id, _UNSEEN)
        self._bell.wake()

    def discard(self, stream_id: str) -> None:
        with self._lock:
            self._seen.pop(stream_id, None)

    def ring(self) -> None:
        """Somebody in this process has published. Any thread."""
        self._rung = True
        self._bell.wake()

    def interrupt(self) -> None:
        self._interrupted = True
        self._bell.wake()

    def wait(self, timeout: float | None) -> Collection[str]:
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            with self._waiting:
                return self._wait_until(deadline)
        finally:
            self._free_if_closed()

    def close(self) -> None:
        self._closed = True
        self._on_close(self)
        self._bell.wake()
        self._free_if_closed()

    def _wait_until(self, deadline: float | None) -> Collection[str]:
        self._check_open()
        while True:
            now = time.monotonic()
            if self._rung:
                self._rung = False
                self._look_soon(now)
            if now >= self._look_at and self._seen and (grown := self._grown(now)):
                return grown
            if self._interrupted or self._closed or (deadline is not None and now >= deadline):
                self._interrupted = False
                return ()
            pauses = [] if deadline is None else [deadline - now]
            if self._seen:
                pauses.append(max(0.0, self._look_at - now))
            if self._bell.wait(min(pauses, default=None), listening=bool(self._seen)):
                self._look_soon(time.monotonic())

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("this watch has been closed")

    def _look_soon(self, now: float) -> None:
        self._look_at = max(now, self._looked_at + _SHORTEST)

    def _grown(self, now: float) -> list[str]:
        """Look, and return the streams whose state isn't what it was."""
        with self._lock:
            seen = dict(self._seen)
        if not seen:
            return []
        found = self._look(seen)
        changed = {name: found.get(name) for name, state in seen.items() if found.get(name) != state}
        with self._lock:
            self._seen.update({name: state for name, state in changed.items() if name in self._seen})
        if any(seen[name] is not _UNSEEN for name in changed):
            self._grown_at = now
        idle = _FOR_LONG if self._bell.hears else now - self._grown_at
        self._looked_at = time.monotonic()
        self._look_at = self._looked_at + self._polling.due_in(idle)
        # What wasn't there at the first look either has not grown.
        return [name for name, state in changed.items() if state is not None or seen[name] is not _UNSEEN]

    def _free_if_closed(self) -> None:
        if self._closed and self._waiting.acquire(blocking=False):
            try:
                self._bell.close()
            finally:
                self._waiting.release()
