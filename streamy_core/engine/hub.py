"""One reader per stream per process: watches, reads, encodes, hands out.

A single thread owns the watch. Whenever a bell rings it reads the streams named, from the head of
their windows, and wakes their readers. Readers that a window can't serve read the log themselves.

Nothing starts before the first reader attaches, and all starts anew in a forked process, where the parent's
thread doesn't exist. Threads, locks and conditions are looked up in `threading` when they are made, so that
they are gevent's in a process that gevent has patched by then.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from typing import Final, NamedTuple

from ..broker import BringsEntries, ForkGuard, Watch
from ..errors import Closed
from ..events import Page, is_internal
from ..observers import Observer
from ..strategies.retry import RetryPolicy
from ..strategies.trying import Attempts
from .frames import Frame, Framing, read_live
from .health import Health
from .log import Log, Part
from .pulse import Pulse
from .record import Record
from .window import Chunk, Feed, Lookups, Wake, WindowLimits

_STREAMS_PER_READ: Final = 500
_OVERDUE_PER_READ: Final = 100  # where no bell asks: so few that bells are heard in between
_BYTES_PER_READ: Final = 8 * 2**20
logger: Final = logging.getLogger("streamy.hub")


class WindowStart(NamedTuple):
    """Where a stream's window begins if there is none yet: a cursor, and what is known to lie after it."""

    cursor: str
    frames: list[Frame]


class Hub:
    """See the module. All methods may be called from any thread.

    Its attribute `watches` is how many watches it has made: with each, all streams are read without a bell.

    log:      the door to the broker.
    retry:    how long to wait after a failure; when it gives up, the series begins again: who stops is deaf.
    watchdog: every so many seconds all streams are read without a bell.
    observer: told when reading goes on after a failure, and of bells that were missed.
    """

    _lock: threading.Lock
    _stopping: threading.Event
    _feeds: dict[str, Feed]
    _changed: set[str]  # streams whose feed has come or gone
    _watched: set[str]  # what the watch knows; the hub's thread's own
    _overdue: list[str]  # what is to be read without a bell; its own, too
    _catching_up: threading.Event | None  # set by a round that began after it was put here
    _watch: Watch | None
    _brought: Callable[[str, str], Page | None] | None  # what the watch's bells brought
    _thread: threading.Thread | None
    _record: Record
    _pulse: Pulse
    watches: int
    lookups: Lookups

    def __init__(
        self,
        log: Log,
        *,
        retry: RetryPolicy,
        window: WindowLimits | None = None,
        watchdog: float = 30.0,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.log = log
        self._retry = retry
        self._limits = window or WindowLimits()
        self._watchdog = watchdog
        self._observer = observer or Observer()
        self._clock = clock
        self._closed = False
        self._looked_at = 0.0
        self._guard = ForkGuard(self._start)

    def attach(self, starts: Mapping[str, WindowStart], wake: Wake) -> None:
        """Have `wake` called whenever one of these streams may have grown.

        starts: for each stream, where its window begins if no other reader has it yet. What lies after
                them now, the reader looks for once by itself.

        Raises Closed.
        """
        self.attach_each(starts, dict.fromkeys(starts, wake))

    def attach_each(self, starts: Mapping[str, WindowStart], wakes: Mapping[str, Wake]) -> None:
        """As `attach`, with a wake for each of the streams."""
        self._guard.check()
        with self._lock:
            if self._closed:
                raise Closed("this manager has been closed")
            for name, start in starts.items():
                if (feed := self._feeds.get(name)) is None:
                    feed = self._feeds[name] = self._open(name, start)
                feed.add(wakes[name])
            changed = bool(self._changed)
            if self._thread is None:
                (thread := threading.Thread(target=self._run, name="streamy-hub", daemon=True)).start()
                self._thread = thread
            watch = self._watch
        if changed and watch is not None:
            watch.interrupt()

    def detach(self, stream_ids: Iterable[str], wake: Wake) -> None:
        """Undo `attach` for these streams."""
        self.detach_each(dict.fromkeys(stream_ids, wake))

    def detach_each(self, wakes: Mapping[str, Wake]) -> None:
        """Undo `attach_each` for these streams."""
        if self._guard.inherited:
            return
        with self._lock:
            for name, wake in wakes.items():
                if (feed := self._feeds.get(name)) is None:
                    continue
                feed.discard(wake)
                if not feed.readers:
                    del self._feeds[name]
                    self._changed.add(name)
            changed = bool(self._changed)
            watch = self._watch
        if changed and watch is not None:
            watch.interrupt()

    def chunk(self, stream_id: str, cursor: str, framing: Framing, max_bytes: int) -> Chunk | None:
        """The joined bytes after `cursor`, up to about `max_bytes`; None if the window doesn't hold it."""
        with self._lock:
            feed = self._feeds.get(stream_id)
            return self.lookups.chunk(feed, cursor, framing, max_bytes)

    def frames(self, stream_id: str, cursor: str, max_bytes: int) -> list[Frame] | None:
        """The frames after `cursor`, likewise."""
        with self._lock:
            feed = self._feeds.get(stream_id)
            return self.lookups.frames(feed, cursor, max_bytes, counted=not is_internal(stream_id))

    def distance(self, stream_id: str, cursor: str) -> int | None:
        """How many frames lie after `cursor`; None if the window doesn't hold it."""
        with self._lock:
            return feed.window.distance(cursor) if (feed := self._feeds.get(stream_id)) else None

    def is_at_the_end(self, stream_id: str, cursor: str) -> bool:
        """Whether the window says that the stream has ended, and that `cursor` is its end's id."""
        with self._lock:
            feed = self._feeds.get(stream_id)
            return feed is not None and feed.window.head == cursor and feed.window.ended

    def has_readers(self, stream_id: str) -> bool:
        """Whether anybody here reads the stream as it comes."""
        return stream_id in self._feeds

    def refresh(self, stream_ids: Collection[str]) -> None:
        """Have windows hold what the log has now, rung for or not. Raises BrokerUnavailable."""
        with self._lock:
            heads = {name: self._feeds[name].window.head for name in stream_ids if name in self._feeds}
        parts = {name: part for name, part in self.log.read(heads, _BYTES_PER_READ).items() if part[0]}
        self._hand_out(heads, parts)

    def catch_up(self, timeout: float) -> None:
        """Have windows hold what bells have told of; wait for it at most `timeout` seconds."""
        if self._closed or self._guard.inherited:
            return
        with self._lock:
            watch, self._catching_up = self._watch, (caught_up := threading.Event())
        if watch is not None:
            watch.interrupt()
            caught_up.wait(timeout)

    @property
    def closed(self) -> bool:
        """Whether it has been stopped: readers should leave."""
        return self._closed

    @property
    def health(self) -> Health:
        """How the hub is doing."""
        with self._lock:
            names = list(self._feeds)
        streams = len(names) - sum(map(is_internal, names))
        return self._record.health(streams, self.log.damaged, self._clock())

    @property
    def failing_for(self) -> float:
        """For how many seconds the watch or reads have been failing; 0 if they aren't."""
        return 0.0 if self._guard.inherited else self._record.failing_for(self._clock())

    @property
    def last_failure(self) -> str | None:
        """The newest failure of these, or None."""
        return None if self._guard.inherited else self._record.last_failure

    @property
    def stuck_for(self) -> float:
        """For how many seconds its thread should have come round; 0 if it does."""
        return 0.0 if self._guard.inherited or self._thread is None or self._closed else self._pulse.overdue()

    def stop(self) -> None:
        """Read no more, and wake all readers, so that they leave. Stopping twice does nothing."""
        self._closed = True
        if self._guard.inherited:
            return
        with self._lock:
            watch = self._watch
            readers = {wake for feed in self._feeds.values() for wake in feed.readers}
            self._stopping.set()
        for wake in readers:
            self._wake(wake)
        if watch is not None:
            watch.interrupt()

    def close(self) -> None:
        """Stop, and wait for the hub's thread to end. Closing twice does nothing."""
        self.stop()
        thread = None if self._guard.inherited else self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._feeds = {}
        self._changed = set()
        self._watched = set()
        self._overdue = []
        self._catching_up = None
        self._watch = None
        self._brought = None
        self._thread = None
        self._record = Record()
        self._pulse = Pulse(self._clock)
        self.watches = 0
        self.lookups = Lookups()

    def _open(self, name: str, start: WindowStart) -> Feed:
        feed = Feed(start.cursor, self._limits)
        if start.frames:
            feed.append(start.frames)
        if not is_internal(name):
            logger.info("stream %r: opened", name, extra={"streamy_event": "opened", "streamy_stream": name})
        self._changed.add(name)
        return feed

    def _run(self) -> None:
        attempts = Attempts(self._retry, endless=True)
        while not self._stopping.is_set():
            self._pulse.expect()
            try:
                with closing(self.log.watch()) as watch:
                    self._start_watching(watch)
                    while not self._stopping.is_set():
                        self._follow(watch)
                        attempts.after_success()
            except Closed as error:
                if not self._closed:
                    logger.error("the broker was closed, so all clients are disconnected: %s", error)
                    self.stop()
                return
            except Exception as error:  # noqa: BLE001 - a thread that dies makes a deaf process
                self._wait_after(error, attempts)
            finally:
                self._watch = None

    def _start_watching(self, watch: Watch) -> None:
        self._watched.clear()
        self._overdue.clear()
        self._record.begin_anew()
        self._brought = watch.brought if isinstance(watch, BringsEntries) else None
        with self._lock:
            self._watch = watch
            self._changed.update(self._feeds)
        self._looked_at = self._clock()
        self.watches += 1

    def _follow(self, watch: Watch) -> None:
        """Wait for bells once, and read what has rung."""
        caught_up, self._catching_up = self._catching_up, None
        arrived = self._watch_changes(watch)
        timeout = None
        if self._watched:
            timeout = max(0.0, self._looked_at + self._watchdog - self._clock())
        if arrived or self._overdue or caught_up:
            timeout = 0
        elif timeout is not None and (due_in := self._record.due_in) is not None:
            timeout = min(timeout, due_in)
        self._pulse.expect(timeout)
        rung = watch.wait(timeout)
        self._pulse.expect()
        if missed := self._record.heard(rung, self._clock()):
            self._observer.bells_missed(missed)
        self._read({*arrived, *rung})
        if caught_up:
            caught_up.set()
        if self._watched and not self._overdue and self._clock() - self._looked_at >= self._watchdog:
            self._looked_at = self._clock()
            self._overdue = list(self._watched)
        if self._overdue:
            self._read_overdue()
        if self._record.failing_since is not None:
            self._record.failing_since = None
            self._observer.read_recovered()

    def _read_overdue(self) -> None:
        """Read some of all streams, bell or no bell."""
        some, self._overdue = self._overdue[:_OVERDUE_PER_READ], self._overdue[_OVERDUE_PER_READ:]
        for name in self._read(self._watched.intersection(some)):
            self._record.found_grown(name, self._clock())

    def _watch_changes(self, watch: Watch) -> set[str]:
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

    def _read(self, names: Collection[str]) -> set[str]:
        """Read these streams up to their ends, a page of each in turn. Returns those that had grown."""
        grown: set[str] = set()
        waiting = list(names)
        while waiting and not self._stopping.is_set():
            self._pulse.expect()
            batch, waiting = waiting[:_STREAMS_PER_READ], waiting[_STREAMS_PER_READ:]
            with self._lock:
                heads = {name: self._feeds[name].window.head for name in batch if name in self._feeds}
            if not heads:
                continue
            parts = {name: part for name, part in self._parts_after(heads).items() if part[0]}
            grown.update(parts)
            self._hand_out(heads, parts)
            waiting += [name for name, (_, page) in parts.items() if page.more or page.gap]
        return grown

    def _parts_after(self, heads: Mapping[str, str]) -> dict[str, Part]:
        """What lies after each stream's head: what bells brought, and the others from the log."""
        if self._brought is None:
            return self.log.read(heads, _BYTES_PER_READ)
        brought: dict[str, Part] = {}
        for name, head in heads.items():
            if (page := self._brought(name, head)) is not None:
                brought[name] = self.log.check(name, head, page)
        missing = {name: head for name, head in heads.items() if name not in brought}
        return {**brought, **self.log.read(missing, _BYTES_PER_READ)} if missing else brought

    def _hand_out(self, heads: Mapping[str, str], parts: Mapping[str, Part]) -> None:
        """Put the frames into their streams' windows, and wake readers."""
        wakes: set[Wake] = set()
        newest: list[Frame] = []
        with self._lock:
            for name, (frames, _) in parts.items():
                feed = self._feeds.get(name)
                if feed is None or feed.window.head != heads[name]:
                    continue  # the last reader left, and another came, while this was being read
                feed.append(read_live(frames))
                wakes.update(feed.readers)
                newest.append(frames[-1])
        for frame in newest:
            self.log.tell(frame)  # only the last of a page can be a gap or an end
        for wake in wakes:  # all at once: who wakes first would contend with the rest of the work
            self._wake(wake)

    def _wake(self, wake: Wake) -> None:
        try:
            wake()
        except Exception:
            # The others are to hear of it all the same.
            logger.exception("a reader could not be woken")

    def _wait_after(self, error: Exception, attempts: Attempts) -> None:
        """Note the failure and wait as the policy says."""
        self._record.failed(error, self._clock())
        delay = attempts.after_failure() or 0.0
        self.log.failed(error, delay)
        self._pulse.expect(delay)
        self._stopping.wait(delay)
