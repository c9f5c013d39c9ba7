"""One reader per stream per process: watches, reads, encodes, hands out.

A single thread owns the watch. Whenever a bell rings it reads the streams named, from the head of
their windows, and wakes their readers. Readers that a window can't serve read the log themselves.

Nothing starts before the first reader attaches, and everything starts anew in a forked process,
where the parent's thread doesn't exist. Threads, locks and conditions are looked up in `threading`
when they are made, so that they are gevent's in a process that gevent has patched by then.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final

from ..broker import BringsEntries, Broker, Watch
from ..errors import BrokerUnavailable, Closed
from ..events import CONTROL, END, GAP, Page
from ..strategies.retry import RetryPolicy, delay_after
from .window import Chunk, Frame, Window, WindowLimits, frames_of

PAGE: Final = 100
"""The most entries that are read of one stream at once; others get their turn in between."""

_STREAMS_PER_READ: Final = 500
_PAUSE_AFTER_GIVING_UP: Final = 1.0
_ENDS: Final = 1_000

logger = logging.getLogger("streamy")

Wake = Callable[[], None]
"""Called, from the hub's thread, when a reader's streams may have grown. Must not block or raise."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the hub's thread has been through.

    streams:      how many are being watched.
    failures:     how often the watch or a read failed, in all.
    last_failure: the newest of these, or None.
    failing:      whether the last try failed: events may be late.
    missed_bells: streams found grown by the regular look around though no bell had named them.
    """

    streams: int = 0
    failures: int = 0
    last_failure: str | None = None
    failing: bool = False
    missed_bells: int = 0


class Hub:
    """See the module. All methods may be called from any thread.

    retry:    how long to wait after a failed read or watch; when the policy gives up, the hub logs
              an error and begins the series again, since a hub that stops is deaf.
    watchdog: every so many seconds all watched streams are read without a bell.
    notice:   told of gaps and ends, on the thread that meets them.
    """

    _pid: int
    _lock: threading.Lock
    _stop: threading.Event
    _feeds: dict[str, _Feed]
    _changed: set[str]  # streams whose feed has come or gone
    _watched: set[str]  # what the watch knows; the hub's thread's own
    _watch: Watch | None
    _brought: Callable[[str, str], Page | None] | None  # what the watch's bells brought
    _thread: threading.Thread | None
    _health: Health
    _ends: deque[tuple[str, str]]  # the newest of which somebody has been told

    def __init__(
        self,
        broker: Broker,
        *,
        retry: RetryPolicy,
        window: WindowLimits | None = None,
        watchdog: float = 30.0,
        notice: Callable[[Frame], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.broker = broker
        self._retry = retry
        self._limits = window or WindowLimits()
        self._watchdog = watchdog
        self._notice = notice
        self._clock = clock
        self._closed = False
        self._looked_at = 0.0
        self._fork_lock = threading.Lock()
        self._born()

    def attach(self, cursors: Mapping[str, str], wake: Wake) -> None:
        """Have `wake` called whenever one of these streams may have grown.

        cursors: where the reader is. What lies behind them now, it looks for once by itself.
        """
        if self._pid != os.getpid():
            with self._fork_lock:
                if self._pid != os.getpid():
                    self._born()
        with self._lock:
            if self._closed:
                raise Closed("this manager has been closed")
            for name, cursor in cursors.items():
                feed = self._feeds.get(name)
                if feed is None:
                    feed = self._feeds[name] = _Feed(Window(cursor, self._limits))
                    if name != CONTROL:
                        logger.info("stream %r: opened", name)
                    self._changed.add(name)
                feed.readers.add(wake)
            news = bool(self._changed)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="streamy-hub", daemon=True)
                thread.start()
                self._thread = thread
            watch = self._watch
        if news and watch is not None:
            watch.interrupt()

    def detach(self, stream_ids: Iterable[str], wake: Wake) -> None:
        """Undo `attach` for these streams."""
        if self._pid != os.getpid():
            return
        with self._lock:
            for name in stream_ids:
                if (feed := self._feeds.get(name)) is None:
                    continue
                feed.readers.discard(wake)
                if not feed.readers:
                    del self._feeds[name]
                    self._changed.add(name)
            news = bool(self._changed)
            watch = self._watch
        if news and watch is not None:
            watch.interrupt()

    def chunk(self, stream_id: str, cursor: str, default_name: str, most: int) -> Chunk | None:
        """The joined bytes behind `cursor`, up to about `most`; None if the window doesn't hold it."""
        with self._lock:
            feed = self._feeds.get(stream_id)
            return feed.window.chunk(cursor, default_name, most) if feed else None

    def frames(self, stream_id: str, cursor: str, most: int) -> list[Frame] | None:
        """The frames behind `cursor`, likewise."""
        with self._lock:
            feed = self._feeds.get(stream_id)
            return feed.window.after(cursor, most) if feed else None

    def distance(self, stream_id: str, cursor: str) -> int | None:
        """How many frames lie behind `cursor`; None if the window doesn't hold it."""
        with self._lock:
            feed = self._feeds.get(stream_id)
            return feed.window.distance(cursor) if feed else None

    def notice(self, frame: Frame) -> None:
        """Tell whoever wants to know of a gap or an end that clients are told of; of an end, once."""
        if self._notice is None or frame.entry.event.name not in (GAP, END):
            return
        if frame.ends:
            with self._lock:
                end = (frame.entry.stream_id, frame.entry.id)
                if end in self._ends:
                    return
                self._ends.append(end)
        self._notice(frame)

    def read(self, cursors: Mapping[str, str]) -> dict[str, list[Frame]]:
        """One page of each stream's frames behind its cursor, from the log, in one round trip.

        Raises BrokerUnavailable.
        """
        pages = self.broker.read(cursors, PAGE)
        return {name: frames_of(name, cursor, pages[name]) for name, cursor in cursors.items()}

    @property
    def closed(self) -> bool:
        """Whether it has been stopped: readers should leave."""
        return self._closed

    @property
    def health(self) -> Health:
        """How the hub is doing."""
        with self._lock:
            return replace(self._health, streams=len(self._feeds.keys() - {CONTROL}))

    def stop(self) -> None:
        """Read no more, and wake all readers, so that they leave. Stopping twice does nothing."""
        self._closed = True
        if self._pid != os.getpid():
            return
        with self._lock:
            watch = self._watch
            readers = {wake for feed in self._feeds.values() for wake in feed.readers}
            self._stop.set()
        for wake in readers:
            self._wake(wake)
        if watch is not None:
            watch.interrupt()

    def close(self) -> None:
        """Stop, and wait for the hub's thread to end. Closing twice does nothing."""
        self.stop()
        thread = self._thread if self._pid == os.getpid() else None
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5)

    def _born(self) -> None:
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._feeds = {}
        self._changed = set()
        self._watched = set()
        self._watch = None
        self._brought = None
        self._thread = None
        self._health = Health()
        self._ends = deque(maxlen=_ENDS)
        self._pid = os.getpid()  # last: another thread takes the rest to be there then

    def _run(self) -> None:
        attempt = 0
        while not self._stop.is_set():
            try:
                with closing(self.broker.watch()) as watch:
                    self._start_watching(watch)
                    while not self._stop.is_set():
                        self._look(watch)
                        attempt = 0
            except Closed as error:
                if not self._closed:
                    logger.error("the broker was closed, so all clients are sent away: %s", error)
                    self.stop()
                return
            except Exception as error:  # noqa: BLE001 - a thread that dies makes a deaf process
                attempt = self._failed(error, attempt + 1)
            finally:
                self._watch = None

    def _start_watching(self, watch: Watch) -> None:
        self._watched.clear()
        self._brought = watch.brought if isinstance(watch, BringsEntries) else None
        with self._lock:
            self._watch = watch
            self._changed.update(self._feeds)
        self._looked_at = self._clock()

    def _look(self, watch: Watch) -> None:
        """Wait for bells once, and read what has rung."""
        arrived = self._follow_changes(watch)
        timeout = None
        if self._watched:
            timeout = max(0.0, self._looked_at + self._watchdog - self._clock())
        if arrived:
            timeout = 0
        rung = watch.wait(timeout)
        self._pump({*arrived, *rung})
        if self._watched and self._clock() - self._looked_at >= self._watchdog:
            self._look_around(watch)
        if self._health.failing:
            logger.warning("reading again")
            self._health = replace(self._health, failing=False)

    def _look_around(self, watch: Watch) -> None:
        """Read every watched stream, bell or no bell."""
        grown = self._pump(self._watched)
        self._looked_at = self._clock()
        if grown:
            late = set(watch.wait(0))  # the bell may just have been on its way
            missed = len(grown - late)
            self._health = replace(self._health, missed_bells=self._health.missed_bells + missed)
            self._pump(late)

    def _follow_changes(self, watch: Watch) -> set[str]:
        """Watch streams that readers have come to, and no longer those that the last has left."""
        with self._lock:
            changed, self._changed = self._changed, set()
            arrived = {name for name in changed if name in self._feeds}
        try:
            for name in changed - arrived:
                watch.discard(name)
                self._watched.discard(name)
            for name in arrived - self._watched:
                watch.add(name)
                self._watched.add(name)
        except BaseException:
            with self._lock:
                self._changed |= changed
            raise
        return arrived

    def _pump(self, names: Collection[str]) -> set[str]:
        """Read these streams up to their ends, a page of each in turn. Returns those that had grown."""
        grown: set[str] = set()
        waiting = list(names)
        while waiting and not self._stop.is_set():
            batch, waiting = waiting[:_STREAMS_PER_READ], waiting[_STREAMS_PER_READ:]
            with self._lock:
                heads = {name: self._feeds[name].window.head for name in batch if name in self._feeds}
            if not heads:
                continue
            found = {name: frames for name, frames in self._frames_behind(heads).items() if frames}
            grown.update(found)
            # All at once: a reader that wakes at the first would contend with the rest of the work.
            for wake in self._hand_out(heads, found):
                self._wake(wake)
            for name, frames in found.items():
                if len(frames) >= PAGE or frames[0].entry.event.name == GAP:
                    waiting.append(name)
        return grown

    def _frames_behind(self, heads: dict[str, str]) -> dict[str, list[Frame]]:
        """A page of each stream's frames: those that bells brought, and the others from the log."""
        if self._brought is None:
            return self.read(heads)
        brought: dict[str, list[Frame]] = {}
        for name, head in heads.items():
            if (page := self._brought(name, head)) is not None:
                brought[name] = frames_of(name, head, page)
        missing = {name: head for name, head in heads.items() if name not in brought}
        return {**brought, **self.read(missing)} if missing else brought

    def _wake(self, wake: Wake) -> None:
        try:
            wake()
        except Exception:
            # The others are to hear of it all the same.
            logger.exception("a reader could not be woken")

    def _hand_out(self, heads: Mapping[str, str], found: Mapping[str, list[Frame]]) -> Collection[Wake]:
        """Put the frames into their streams' windows. Returns whom to wake."""
        wakes: set[Wake] = set()
        newest: list[Frame] = []
        with self._lock:
            for name, frames in found.items():
                feed = self._feeds.get(name)
                if feed is None or feed.window.head != heads[name]:
                    continue  # the last reader left, and another came, while this was being read
                feed.window.append(frames)
                wakes |= feed.readers
                newest.append(frames[-1])
        for frame in newest:
            self.notice(frame)  # only the last of a page can be a gap or an end
        return wakes

    def _failed(self, error: Exception, attempt: int) -> int:
        """Note the failure and wait as the policy says. Returns how many attempts have failed."""
        known = isinstance(error, BrokerUnavailable)
        self._health = replace(
            self._health,
            failures=self._health.failures + 1,
            last_failure=f"{type(error).__name__}: {error}",
            failing=True,
        )
        pause = delay_after(self._retry, attempt)
        if pause is None:
            logger.error("reading failed %d times in a row, going on: %s", attempt, error, exc_info=not known)
            attempt, pause = 0, _PAUSE_AFTER_GIVING_UP
        else:
            logger.warning("reading failed, again in %.2f s: %s", pause, error, exc_info=not known)
        self._stop.wait(pause)
        return attempt


class _Feed:
    __slots__ = ("readers", "window")

    def __init__(self, window: Window) -> None:
        self.window = window
        self.readers: set[Wake] = set()
