"""The spans of one manager: of each call that publishes, and of each entry's first delivery here.

A delivery's span is made by a thread of their own, since whoever hands bytes to clients must not be held up.
"""

from __future__ import annotations

import atexit
import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Final

from ..broker import ForkGuard
from ..events import MAX_META, Entry, Event, is_internal, meta_size
from ..observers.metrics.groups import NONE, GroupOf, Groups
from ..observers.traces import PublishingSpan, Tracer

PARENT: Final = "traceparent"
"""The text in an entry's meta that says which span published it (https://www.w3.org/TR/trace-context/)."""

_REMEMBERED: Final = 10_000
"""Entries of which it is known whether they have been delivered here."""

_MOST_WAITING: Final = 10_000
_ENDING: Final = 2.0
"""Seconds that `close` waits for the spans of what was delivered before."""

logger: Final = logging.getLogger("streamy.observers")


class Publishing:
    """The span of one call that publishes; as a context manager, it is current within, and then ends.

    For one thread at a time. Nothing raises.

    span:    None if it could not be made.
    kept:    whether the broker keeps meta.
    guarded: within this, errors are logged.
    """

    __slots__ = ("_current", "_guarded", "_kept", "_span")

    def __init__(
        self,
        span: PublishingSpan | None,
        guarded: Callable[[], AbstractContextManager[object]],
        *,
        kept: bool,
    ) -> None:
        self._span = span
        self._guarded = guarded
        self._kept = kept
        self._current: AbstractContextManager[object] | None = None

    def marked(self, events: Sequence[Event]) -> Sequence[Event]:
        """The events, each with a meta that leads back to this span; one that has such a meta, as it is."""
        more: Mapping[str, str] = {}
        with self._guarded():
            more = self._span.meta if self._span is not None and self._kept else {}
        return [_with(event, more) for event in events] if PARENT in more else events

    def stored(self, ids: Collection[str]) -> None:
        """These entries were published."""
        if self._span is not None and len(ids) == 1:
            with self._guarded():
                self._span.stored(next(iter(ids)))

    def end(self, failure: str | None = None) -> None:
        """It is over. failure: as for `PublishingSpan.end`."""
        if self._span is not None:
            with self._guarded():
                self._span.end(failure)

    def __enter__(self) -> Publishing:
        if self._span is not None:
            with self._guarded():
                current = self._span.as_current()
                current.__enter__()
                self._current = current
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._current is not None:
            with self._guarded():
                self._current.__exit__(None, None, None)
        self.end(None if kind is None else kind.__qualname__)


class Handover:
    """To be called, by any thread, when an entry has been handed to a client. Never blocks.

    The first call in this process counts.
    """

    __slots__ = ("_began", "_entry_id", "_group", "_meta", "_taken", "_traces")

    def __init__(self, traces: Traces, entry: Entry, group: str | None) -> None:
        assert entry.event.meta is not None
        self._traces = traces
        self._meta: Mapping[str, str] = entry.event.meta
        self._entry_id = entry.id
        self._group = group
        self._began = time.time_ns()
        self._taken = False

    def __call__(self) -> None:
        if not self._taken:
            self._traces.hand_over(self, time.time_ns())

    def take(self) -> bool:
        """Whether this is the first call. Not locked: whoever calls does that."""
        taken, self._taken = self._taken, True
        return not taken

    def make_span(self, tracer: Tracer, ended: int) -> None:
        """Make the span of this delivery."""
        tracer.delivered(self._meta, self._group, self._entry_id, self._began, max(ended, self._began))


class Traces:
    """See the module. Any thread. In a forked process nothing has been delivered yet.

    kept: whether the broker keeps meta; if not, deliveries have no spans.
    """

    _lock: threading.Lock
    _known: OrderedDict[tuple[str, str], Handover]
    _waiting: queue.SimpleQueue[tuple[Handover, int] | None]
    _thread: threading.Thread | None
    _left_out: int  # deliveries whose spans there was no room for

    def __init__(self, tracer: Tracer, group_of: GroupOf | None = None, *, kept: bool) -> None:
        self._tracer = tracer
        self._groups = Groups(group_of)
        self._kept = kept
        self._closed = False
        self._failed = False
        self._guard = ForkGuard(self._start)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._known = OrderedDict()
        self._waiting = queue.SimpleQueue()
        self._thread = None
        self._left_out = 0

    def publishing(self, stream_ids: Sequence[str], count: int) -> Publishing:
        """Begin the span of a call that publishes so many entries to these streams."""
        span: PublishingSpan | None = None
        with self._guarded():
            group = self._group_of(stream_ids[0])
            if any(self._group_of(name) != group for name in stream_ids[1:]):
                group = None
            span = self._tracer.publishing(group, count)
        return Publishing(span, self._guarded, kept=self._kept)

    def handover(self, entry: Entry) -> Handover | None:
        """What is to be told when the entry has been handed to a client; None if nobody wants to know."""
        if entry.event.meta is None or PARENT not in entry.event.meta or is_internal(entry.stream_id):
            return None
        self._guard.check()
        key = entry.stream_id, entry.id
        group = self._group_of(entry.stream_id)  # the app's: not while others wait for the lock
        with self._lock:
            if (known := self._known.get(key)) is not None:
                return known
            if self._closed:
                return None
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="streamy-traces", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no thread is to be had: the next entry will do
                    return None
                self._thread = thread
                atexit.register(self.close)
            made = self._known[key] = Handover(self, entry, group)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return made

    def hand_over(self, handover: Handover, now: int) -> None:
        """It has been called: make a span of it, if that was the first time."""
        self._guard.check()
        with self._lock:
            if not handover.take():
                return
            if self._waiting.qsize() < _MOST_WAITING:
                self._waiting.put((handover, now))
            else:
                self._left_out += 1

    def close(self) -> None:
        """Make the spans of what was delivered, and no more. Closing twice does nothing."""
        if self._guard.inherited:
            return
        with self._lock:
            closed, self._closed = self._closed, True
            thread = self._thread
        if thread is None or closed:
            return
        atexit.unregister(self.close)
        self._waiting.put(None)
        if thread is not threading.current_thread():
            thread.join(_ENDING)

    def _run(self) -> None:
        while (found := self._waiting.get()) is not None:
            handover, ended = found
            with self._guarded():
                handover.make_span(self._tracer, ended)
            if self._waiting.empty():
                self._say_what_is_left_out()
        self._say_what_is_left_out()

    def _say_what_is_left_out(self) -> None:
        if self._left_out:
            with self._lock:
                left_out, self._left_out = self._left_out, 0
            logger.warning("spans of deliveries that were left out, since making them is slow: %d", left_out)

    @contextmanager
    def _guarded(self) -> Generator[None]:
        try:
            yield
        except Exception:
            if not self._failed:
                self._failed = True
                logger.exception("STREAMY_TRACES failed; this is logged once, and harms nobody else")

    def _group_of(self, stream_id: str) -> str | None:
        group = self._groups.of(stream_id)
        return None if group == NONE else group


def hand_over(handovers: Iterable[Handover]) -> None:
    """These entries have just been handed to a client. Never blocks."""
    for handover in handovers:
        handover()


def _with(event: Event, more: Mapping[str, str]) -> Event:
    """The event with more meta, as far as there is room: what is there already counts more."""
    own = event.meta or {}
    if PARENT in own:
        return event
    for added in (more, {PARENT: more[PARENT]}):
        meta = {**added, **own}
        if meta_size(meta) <= MAX_META:
            return replace(event, meta=meta)
    return event
