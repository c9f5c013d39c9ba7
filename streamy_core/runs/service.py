"""The runs of one manager in this process: starting and stopping them, and what comes of them at its exit."""

from __future__ import annotations

import atexit
import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, Final, Literal

from ..broker import AppendsLast, ForkGuard
from ..closeable import Closeable
from ..commands import stop_command
from ..config import Settings
from ..engine.abilities import that_appends_last
from ..engine.engine import Engine
from ..engine.outcomes import RunEnd, RunOutcome, RunStart, end_of
from ..errors import Closed, RunExists, TooManyRuns
from ..events import LEASES, check_stream_id
from ..ids import sequence_of
from ..observers import Observer
from .flusher import Flusher
from .held import Held, Resume
from .keeper import Keeper
from .leases import Lease
from .producing import check_iterable
from .run import Run, Within, as_it_is
from .starting import Claims
from .sweeping import Sweeper
from .terms import Terms
from .writer import Writer, write_all

_HEARING: Final = 5.0
"""Seconds to wait for what processes have told."""

_FINISHING: Final = 0.5
"""Seconds that producers may take to end once it is time."""

logger: Final = logging.getLogger("streamy.runs")


class Runs(Closeable):
    """See the module. Any thread; a forked process begins without any.

    engine: publishes and reads. observer: told of runs.
    grace: for how many seconds runs may go on, when the process is about to stop.
    """

    _threads: threading.Semaphore
    _exiting: bool

    def __init__(
        self, engine: Engine, settings: Settings, observer: Observer, grace: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._observer = observer
        self._grace = grace
        self._closed = False
        publisher = engine.publisher
        self._flusher = Flusher(partial(write_all, publisher), most=publisher.most_streams)
        self._claims = Claims(engine.hub, engine.publisher)
        self._keeper = Keeper(engine.hub, engine.publisher, settings.retry, observer)
        self._guard = ForkGuard(self._start)

    def start(
        self,
        stream_id: str,
        items: Any,
        terms: Terms,
        *,
        executor: Executor | Literal[False] | None,
        within: Within,
    ) -> Run:
        """As `StreamManager.start_run`. within: calls the producer in its context."""
        name = check_stream_id(stream_id)
        check_iterable(name, items)
        if executor is not None and executor is not False and not callable(getattr(executor, "submit", None)):
            raise TypeError(f"an executor has a method submit, and {type(executor).__name__} has none")
        self._guard.check()
        if executor is None:
            return self._start_thread(name, items, terms, within)
        held = self._claim(name, terms, within)
        run = Run(self, name, held, terms.name, items, within)
        if held is not None and executor:
            _launch(lambda: _submit(executor, run, held), run, held)
        return run

    def open(self, stream_id: str, terms: Terms) -> Run:
        """As `StreamManager.run`."""
        name = check_stream_id(stream_id)
        self._guard.check()
        return Run(self, name, self._claim(name, terms), terms.name)

    def _start_thread(self, name: str, items: Any, terms: Terms, within: Within) -> Run:
        threads = self._threads
        if not threads.acquire(blocking=False):
            raise TooManyRuns(self._settings.run_threads)
        held: Held | None = None
        try:
            held = self._claim(name, terms, within)
            run = Run(self, name, held, terms.name, items, within)
            if held is not None:
                target = partial(_drain, run, threads)
                thread = threading.Thread(target=target, name="streamy-run", daemon=True)
                _launch(thread.start, run, held)
        except BaseException:
            threads.release()
            raise
        if held is None:
            threads.release()  # else the thread does
        return run

    def _claim(self, name: str, terms: Terms, within: Within = as_it_is) -> Held | None:
        """Begin a run; None: another has begun there, and that one is to be joined."""
        publisher, start = self._engine.publisher, terms.start
        publisher.event("", terms.name)  # whether the name can be
        self._check_open()
        if (there := self._claims.found(name)) is not None:
            _check_join(name, there, terms)
            return None
        held = Held(
            name,
            Writer(name, publisher, self._flusher, terms.coalesce),
            lease=start.lease,
            alone=terms.alone,
            on_error=terms.on_error,
            resume=None if terms.resume is None else partial(_resume, terms.resume, within),
            on_end=self._keeper.release,
            find_end=lambda stream: self._end_now(stream)[1],
            observer=self._observer,
        )
        self._watch_exit()
        self._keeper.hold(held)
        try:
            holder = self._claims.claim(name, start)
            if holder.token == start.token:
                if time.monotonic() - held.began_at > start.lease / 2:
                    self._keeper.hold(held)  # it took so long that others may have given it up
                self._keeper.begun(held)
                self._observer.run_started(name, start.key)
                return held
        except BaseException as error:
            held.unsettled = not isinstance(error, RunExists)  # its first entry may be there
            self._keeper.release(held)
            raise
        self._keeper.release(held)
        _check_join(name, holder, terms)
        return None

    def stop(self, stream_id: str) -> None:
        """As `StreamManager.stop_run`."""
        name = check_stream_id(stream_id)
        if self._keeper.stop(name):
            return
        tail = self._engine.hub.log.tail([name])
        _, page = self._engine.hub.log.read(dict(tail), 1, 1)[name]
        if page.ended or sequence_of(page.cursor) == 0:
            return
        self._engine.publisher.append_own(LEASES, [stop_command(name)])

    def wait_for_end(self, stream_id: str, timeout: float | None) -> tuple[bool, RunEnd | None]:
        """Wait until the stream has ended; whether it has, and how. Raises BrokerUnavailable, Closed."""
        if timeout is not None and timeout <= 0:
            return self._end_now(stream_id)
        over = math.inf if timeout is None else time.monotonic() + timeout
        with self._engine.subscribe(stream_id) as entries:  # first: what comes from here on isn't missed
            ended, end = self._end_now(stream_id)
            while not ended and (left := over - time.monotonic()) > 0 and not entries.closed:
                entries.next(None if left == math.inf else left)
                ended, end = stream_id in entries.ends, entries.ends.get(stream_id)
        return ended, end

    def follow(self) -> None:
        """See that runs of other processes that are lost are ended: this one has clients to be told."""
        if not self._closed and isinstance(self._engine.broker, AppendsLast):
            self._keeper.follow()

    def shut_down(self) -> None:
        """The process is about to stop: runs go on for as long as they may. Returns at once."""
        self._keeper.stop_at(time.monotonic() + self._grace())

    def sweeper(self) -> Sweeper:
        """What looks for runs in the whole backend. Raises ConfigError, Closed."""
        self._check_open()

        def known() -> dict[str, float]:
            others = {name: lease.seconds for name, lease in self.known(_HEARING).items()}
            return {**others, **{held.stream_id: held.lease for held in self._keeper.all_held()}}

        log = self._engine.hub.log
        return Sweeper(self._engine.broker, log, self._claims, known, self._keeper.end_lost)

    def going(self) -> list[Held]:
        """The runs that this process holds, the oldest first, to be looked at: one of each stream."""
        found: dict[str, Held] = {}
        for held in sorted(self._keeper.all_held(), key=lambda held: held.began_at):
            found.setdefault(held.stream_id, held)  # of several that try to begin it, one has it
        return list(found.values())

    def known(self, timeout: float = 0.0) -> dict[str, Lease]:
        """The runs of other processes, as they have told. timeout: seconds to wait for what lies back."""
        self.follow()
        self._keeper.wait_until_known(timeout)
        return self._keeper.known()

    def close(self) -> None:
        """End all as lost, at once, and keep no others. Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._guard.inherited:
            return
        atexit.unregister(self._at_exit)
        self._finish(0.0)
        self._keeper.close()
        self._flusher.close()

    def _end_now(self, stream_id: str) -> tuple[bool, RunEnd | None]:
        """Whether the stream has ended, and how. Raises BrokerUnavailable, Closed."""
        log = self._engine.hub.log
        frames, _ = log.read(dict(log.tail([stream_id])), 1, 1)[stream_id]
        ends = [frame for frame in frames if frame.ends]
        return bool(ends), end_of(ends[-1].entry.event) if ends else None

    def _start(self) -> None:
        self._threads = threading.Semaphore(self._settings.run_threads)
        self._exiting = False

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("this StreamManager is closed: it starts no more runs")
        that_appends_last(self._engine.broker)

    def _watch_exit(self) -> None:
        if not self._exiting:
            self._exiting = True
            atexit.register(self._at_exit)

    def _at_exit(self) -> None:
        if self._guard.inherited or not self._keeper.all_held():
            return
        self.shut_down()
        self._finish(self._keeper.stops_at)

    def _finish(self, over: float) -> None:
        """Wait until all have ended, or for this time; then end those that are left, as lost."""
        for held in self._keeper.all_held():
            held.ended.wait(max(0.0, over - time.monotonic()))
        left = self._keeper.all_held()
        for held in left:
            held.stop(RunOutcome.LOST)
        over = time.monotonic() + _FINISHING
        for held in left:
            held.ended.wait(max(0.0, over - time.monotonic()))  # its producer may clear up
            held.finish(whole=False)


def _resume(resume: Resume, within: Within, stream_id: str) -> str | None:
    """What it returns, called in the context of its run's producer."""
    found: list[str | None] = []
    within(lambda: found.append(resume(stream_id)))
    return found[0]


def _drain(run: Run, threads: threading.Semaphore) -> None:
    try:
        run.drain()
    finally:
        threads.release()


def _submit(executor: Executor, run: Run, held: Held) -> None:
    """Have an executor produce it; it ends where that has dropped it, or can't call it in this process."""

    def look(future: Future[None]) -> None:
        if held.ended.is_set() or not (future.cancelled() or future.exception()):
            return
        why = "was cancelled" if future.cancelled() else repr(future.exception())
        logger.error("stream %r: its executor has not produced its run: %s", held.stream_id, why)
        held.stop(RunOutcome.LOST)
        run.drain()

    future: Any = executor.submit(run.drain)
    if hasattr(future, "add_done_callback"):
        future.add_done_callback(look)


def _launch(launch: Callable[[], object], run: Run, held: Held) -> None:
    """Have a run produced; it ends where that can't be."""
    try:
        launch()
    except BaseException:
        held.stop(RunOutcome.LOST)
        run.drain()
        raise


def _check_join(name: str, there: RunStart, terms: Terms) -> None:
    """Raises RunExists, unless the run that is there may be joined."""
    if not terms.join or there.key != terms.start.key:
        raise RunExists(name)
