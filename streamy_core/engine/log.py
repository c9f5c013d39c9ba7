"""The one door to a broker for whoever reads: what it holds, as frames, and what hears its bells."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Mapping
from typing import Final

from ..broker import Broker, ForkGuard, Watch
from ..events import Page
from ..observers import Observer
from .frames import Frame, frames_of

PAGE: Final = 100
"""The most entries that are read of one stream at once; others get their turn in between."""

_ENDS: Final = 1_000


Part = tuple[list[Frame], Page]
"""What was read of one stream: its frames, and the page that they were made of."""


class Log:
    """Reads one broker. Any thread.

    observer: told of failures, of gaps; and of each stream's end, once.
    """

    def __init__(self, broker: Broker, observer: Observer) -> None:
        self._broker = broker
        self._observer = observer
        self._guard = ForkGuard(self._start)

    def _start(self) -> None:
        self._ends: deque[tuple[str, str]] = deque(maxlen=_ENDS)  # the newest that were told
        self._lock = threading.Lock()

    def read(self, cursors: Mapping[str, str], max_bytes: int) -> dict[str, Part]:
        """One page of each stream after its cursor, in one round trip. Raises BrokerUnavailable."""
        if not cursors:
            return {}
        pages = self._broker.read(cursors, PAGE, max_bytes)
        return {
            name: (frames_of(name, cursor, page := pages[name]), page) for name, cursor in cursors.items()
        }

    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        """The cursor "from now on" of each stream, in one round trip. Raises BrokerUnavailable."""
        return self._broker.tail(stream_ids) if stream_ids else {}

    def watch(self) -> Watch:
        """A new watch of the broker's. Raises BrokerUnavailable, Closed."""
        return self._broker.watch()

    def failed(self, error: Exception, delay: float | None) -> None:
        """Reading has failed, and is tried again in so many seconds; None: no more."""
        self._observer.read_failed(error, delay)

    def tell(self, frame: Frame) -> None:
        """Have the observer told, if this is a gap or an end: readers are about to be."""
        if frame.gap is not None:
            self._observer.gap(frame.entry.stream_id, *frame.gap)
        elif frame.ends:
            end = (frame.entry.stream_id, frame.entry.id)
            self._guard.check()
            with self._lock:
                if end in self._ends:
                    return
                self._ends.append(end)
            self._observer.stream_ended(frame.entry.stream_id)
