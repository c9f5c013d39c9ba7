"""The one door to a broker for whoever reads: what it holds, as frames, and what hears its bells.

What comes in is looked at here, once: see `checks`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Mapping
from typing import Final

from ..broker import Broker, ConfigError, ForkGuard, ReadsBack, Watch
from ..events import Page
from ..ids import OLDEST, UNPLACEABLE
from ..observers import GapCause, Observer
from .checks import check_page, usable_cursor
from .frames import Frame
from .outcomes import end_of
from .traces import Traces

PAGE: Final = 100
"""The most entries that are read of one stream at once; others get their turn in between."""

_ENDS: Final = 1_000
_DAMAGES: Final = 1_000


Part = tuple[list[Frame], Page]
"""What was read of one stream: its frames, and the page that they were made of."""


class Log:
    """Reads one broker. Any thread.

    observer: told of failures, of gaps; and, once, of each stream's end, and of each entry that is damaged.
    traces:   say who is to be told when an entry has been handed to a client.
    """

    def __init__(self, broker: Broker, observer: Observer, traces: Traces | None = None) -> None:
        self._broker = broker
        self._observer = observer
        self._traces = traces
        self._guard = ForkGuard(self._start)

    def _start(self) -> None:
        self._ends: deque[tuple[str, str]] = deque(maxlen=_ENDS)  # the newest that were told
        self._damages: deque[tuple[str, str | None, str]] = deque(maxlen=_DAMAGES)  # likewise
        self._damaged = 0
        self._told: dict[str, Frame] = {}  # ends that were read after the last entry, by id
        self._lock = threading.Lock()

    @property
    def damaged(self) -> int:
        """How many entries could not be read, in this process."""
        self._guard.check()
        return self._damaged

    def read(self, cursors: Mapping[str, str], max_bytes: int, limit: int = PAGE) -> dict[str, Part]:
        """One page of each stream after its cursor, in one round trip. Raises BrokerUnavailable.

        limit: the most entries of each; never more than `PAGE`.
        """
        if not cursors:
            return {}
        pages = self._broker.read(cursors, min(limit, PAGE), max_bytes)
        parts = {name: self.check(name, cursor, pages.get(name)) for name, cursor in cursors.items()}
        for name, (frames, page) in parts.items():
            if page.ended and len(frames) == 1 and frames[0].ends:
                parts[name] = [self._with_outcome(frames[0], cursors[name])], page
        return parts

    def _with_outcome(self, end: Frame, cursor: str) -> Frame:
        """The end that was read right after `cursor`, which may lie after a run's last entry: it tells what
        that says. Raises BrokerUnavailable."""
        name = end.entry.stream_id
        if end_of(end.entry.event) or not isinstance(self._broker, ReadsBack) or cursor == OLDEST:
            return end
        self._guard.check()
        if (known := self._told.get(end.entry.id)) is not None:
            return known
        before = self._broker.back({name: cursor}, 1)
        pages = self._broker.read(before, 1, 1)
        frames, page = self.check(name, before[name], pages.get(name))
        found = frames[0] if page.ended and len(frames) == 1 and frames[0].ends else end
        with self._lock:
            if len(self._told) >= _ENDS:
                self._told.clear()
            self._told[end.entry.id] = found
        return found

    def check(self, stream_id: str, cursor: str, page: Page | None) -> Part:
        """What is sound of a page that was read after `cursor`; what is damaged is told of."""

        def report(entry_id: str | None, reason: str, gap: Frame | None) -> None:
            self._report(stream_id, entry_id, reason, gap)

        frames, checked = check_page(stream_id, cursor, page, report)
        return (frames if self._traces is None else _traced(frames, self._traces)), checked

    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        """The cursor "from now on" of each stream, in one round trip. Raises BrokerUnavailable."""
        if not stream_ids:
            return {}
        tails = self._broker.tail(stream_ids)
        return {name: self._check_tail(name, tails.get(name)) for name in stream_ids}

    def back(self, cursors: Mapping[str, str | None], entries: int) -> dict[str, str] | None:
        """As `ReadsBack.back`; None if the broker can't. Raises BrokerUnavailable."""
        if not isinstance(self._broker, ReadsBack):
            return None
        found = self._broker.back(cursors, entries)
        return {name: self._check_tail(name, found.get(name)) for name in cursors}

    def since(self, stream_ids: Collection[str], seconds: float) -> dict[str, str]:
        """As `ReadsBack.since`. Raises BrokerUnavailable; ConfigError where the broker keeps no times."""
        if not isinstance(self._broker, ReadsBack):
            raise ConfigError(
                f"{type(self._broker).__name__} can't tell when entries came: use Last(50) for Since"
            )
        found = self._broker.since(stream_ids, seconds)
        return {name: self._check_tail(name, found.get(name)) for name in stream_ids}

    def watch(self) -> Watch:
        """A new watch of the broker's. Raises BrokerUnavailable, Closed."""
        return self._broker.watch()

    def failed(self, error: Exception, delay: float | None) -> None:
        """Reading has failed, and is tried again in so many seconds; None: no more."""
        self._observer.read_failed(error, delay)

    def tell(self, frame: Frame) -> None:
        """Have the observer told, if this is a gap or an end: readers are about to be."""
        if frame.gap is not None:
            if frame.gap.cause is not GapCause.DAMAGED:  # which was told when it was found
                self._observer.gap(frame.entry.stream_id, *frame.gap[:3])
        elif frame.ends:
            end = (frame.entry.stream_id, frame.entry.id)
            self._guard.check()
            with self._lock:
                if end in self._ends:
                    return
                self._ends.append(end)
            self._observer.stream_ended(frame.entry.stream_id)

    def _check_tail(self, stream_id: str, cursor: str | None) -> str:
        if (usable := usable_cursor(cursor)) is None:
            self._report(stream_id, None, f"the broker gave no cursor: {cursor!r:.200}", None)
            return UNPLACEABLE
        return usable

    def _report(self, stream_id: str, entry_id: str | None, reason: str, gap: Frame | None) -> None:
        what = (stream_id, entry_id, reason)
        self._guard.check()
        with self._lock:
            if what in self._damages:
                return
            self._damages.append(what)
            self._damaged += 1
        self._observer.damaged(*what)
        if gap is not None and gap.gap is not None:
            self._observer.gap(stream_id, *gap.gap[:3])


def _traced(frames: list[Frame], traces: Traces) -> list[Frame]:
    return [
        frame if frame.entry.event.meta is None else frame._replace(handover=traces.handover(frame.entry))
        for frame in frames
    ]
