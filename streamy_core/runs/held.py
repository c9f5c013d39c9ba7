"""A run that this process holds: it alone may write to its log, until somebody has ended it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from ..engine.outcomes import RunEnd, RunOutcome
from ..errors import InvalidStreamId, RunStopped, StreamEnded, StreamyError
from ..events import check_stream_id
from ..observers import Observer
from . import progress as progresses
from .writer import Writer

logger: Final = logging.getLogger("streamy.runs")

OnError = Callable[[Exception], object]
"""Given what a run has raised; returns the text of it that readers are told, or None."""

Resume = Callable[[str], str | None]
"""Given a run's stream id; has another process do the rest, and returns the stream id of that, or None."""


class Held:
    """See the module. Any thread, but for `put`: what one thread puts is in order.

    lease: seconds after which others end it as lost, unless they have heard of it.
    alone: seconds after which it is stopped when nobody reads it; None: it isn't.
    resume: called before it ends as lost, with all written that was put; by the thread that ends it.
    on_end: called once, when it has ended.

    ended: is set then, and `end` says how: None if somebody has ended the stream as any other. `seen_at` is
    when a reader was last known of. `unsettled`: whether its log may say that it goes on, though it is over.
    `told_at`: the id in the stream of leases by which others were first told of it, if any. `begun`: whether
    its first entry is there, and no other starter's.
    """

    def __init__(
        self,
        stream_id: str,
        writer: Writer,
        *,
        lease: float,
        alone: float | None,
        on_error: OnError | None,
        resume: Resume | None,
        on_end: Callable[[Held], object],
        find_end: Callable[[str], RunEnd | None],
        observer: Observer,
    ) -> None:
        self.stream_id = stream_id
        self.lease = lease
        self.alone = alone
        self.end: RunEnd | None = None
        self.ended: threading.Event = threading.Event()
        self.unsettled: bool = False
        self.begun: bool = False
        self.told_at: str | None = None
        self.seen_at: float = time.monotonic()
        self.began_at: float = time.monotonic()
        self.writer = writer
        self._on_error = on_error
        self._resume = resume
        self._on_end = on_end
        self._find_end = find_end
        self._observer = observer
        self._wanted: RunOutcome | None = None  # how it is to end, by somebody else's wish
        self._ending = threading.Lock()
        self._has_warned = False

    @property
    def stopping(self) -> bool:
        """Whether nothing more is wanted: it was stopped, or can't write any more."""
        return self._wanted is not None or self.writer.failure is not None

    def stop(self, outcome: RunOutcome = RunOutcome.STOPPED) -> None:
        """Have it end so, as soon as its producer looks. The first wish counts."""
        if self._wanted is None:
            self._wanted = outcome

    def put(self, data: Any, name: str | None) -> None:
        """Publish. Raises as `Writer.put`; RunStopped, too, once it is to stop."""
        self.raise_if_stopped()
        self.writer.put(data, name)

    def put_progress(self, done: object, total: object, note: object) -> None:
        """Tell how far it is. Raises as `put`."""
        self.raise_if_stopped()
        progress, mended = progresses.progress_of(self.stream_id, done, total, note)
        if mended and not self._has_warned:
            self._has_warned = True
            progresses.warn(self.stream_id, done, total, progress)
        self.writer.put_progress(progress)

    def raise_if_stopped(self) -> None:
        """Raises RunStopped if nothing more is wanted; PublishFailed if nothing can be written any more."""
        if self._wanted is not None:
            raise RunStopped(self.stream_id, self._wanted.value)
        if (failure := self.writer.failure) is not None:
            raise RunStopped(self.stream_id, "ended") if isinstance(failure, StreamEnded) else failure

    def finish(self, error: BaseException | None = None, *, whole: bool = True) -> None:
        """End it, with what was put before: by what was wished, or by the error, or as done. Once; who comes
        later waits for that. whole: whether its producer has come to its end by itself. Never raises."""
        with self._ending:
            if self.ended.is_set():
                return
            ours: RunEnd | None = None
            try:
                ours = self._write_end(self._end_by(error, whole=whole))
                self.end = ours or self._find_end(self.stream_id)
            except StreamyError as fault:
                # Others end it as lost, once they hear of it no more.
                logger.error("stream %r: how its run ended could not be stored: %s", self.stream_id, fault)
                self.end = RunEnd(RunOutcome.LOST)
                self.unsettled = True
            self.ended.set()
        self._on_end(self)
        if ours is not None:
            self._observer.run_ended(self.stream_id, ours.outcome, time.monotonic() - self.began_at)

    def _write_end(self, end: RunEnd) -> RunEnd | None:
        """How it has ended; None: others were first."""
        try:
            return end if self.writer.end(end.as_event()) else None
        except StreamyError:
            raise
        except Exception as error:  # noqa: BLE001 - of what joins pieces
            failed = self._failed(error)
            return failed if self.writer.end(failed.as_event()) else None

    def _end_by(self, error: BaseException | None, *, whole: bool) -> RunEnd:
        if self._wanted is not None and not whole:
            if isinstance(error, Exception) and not isinstance(error, RunStopped):
                logger.error(
                    "stream %r: its run, which was to end, has failed", self.stream_id, exc_info=error
                )
            return self._lost() if self._wanted is RunOutcome.LOST else RunEnd(self._wanted)
        if isinstance(error, Exception) and not isinstance(error, RunStopped):
            return self._failed(error)
        if error is not None and not isinstance(error, Exception):
            return self._lost()  # the process is told to end
        failure = self.writer.failure
        if failure is not None and not isinstance(failure, StreamEnded):
            return self._failed(failure)
        return RunEnd(RunOutcome.DONE if error is None else RunOutcome.STOPPED)

    def _lost(self) -> RunEnd:
        if self._resume is None:
            return RunEnd(RunOutcome.LOST)
        self.writer.flush()
        if self.writer.failure is not None:
            return RunEnd(RunOutcome.LOST)  # nobody would be told where it goes on
        try:
            name = self._resume(self.stream_id)
            if name == self.stream_id:
                raise InvalidStreamId(f"a run goes on on a stream of its own, and not on {name!r} again")
            return RunEnd(RunOutcome.LOST, resumed_on=None if name is None else check_stream_id(name))
        except Exception:
            logger.exception("stream %r: resume has failed, and its run is lost", self.stream_id)
            return RunEnd(RunOutcome.LOST)

    def _failed(self, error: Exception) -> RunEnd:
        logger.error("stream %r: its run has failed", self.stream_id, exc_info=error)
        if self._on_error is None:
            return RunEnd(RunOutcome.FAILED)
        try:
            told = self._on_error(error)
            text = None if told is None else str(told)
        except Exception:
            logger.exception("stream %r: on_error has failed", self.stream_id)
            text = None
        return RunEnd(RunOutcome.FAILED, None if text is None else _safe(text))


def _safe(text: str) -> str:
    """As much of a text as can be told."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()[:1_000]
