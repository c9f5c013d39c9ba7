"""Follows a stream of Streamy's own, by which processes tell each other something."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ..errors import BrokerUnavailable, Closed
from ..ids import OLDEST
from ..strategies.retry import RetryPolicy
from ..strategies.trying import Attempts, keep_trying
from .frames import Frame
from .hub import Hub
from .reader import Reader

Take = Callable[[Frame, bool], None]
"""Is given each frame, gaps among them, and whether it has come since all was read that was there. Must not
block."""

logger: Final = logging.getLogger("streamy.hub")


class Follower:
    """Reads all that is kept of the stream, then what comes, on the hub's thread. Any thread.

    Beginning takes a thread of its own, since it reads the log. If that fails in the middle, `take` is given
    the same once more.

    name:  the thread's.
    retry: how to go on when the log can't be read. Nothing is given up.
    """

    def __init__(self, hub: Hub, stream_id: str, take: Take, retry: RetryPolicy, *, name: str) -> None:
        self._hub = hub
        self._stream_id = stream_id
        self._take = take
        self._retry = retry
        self._attempts = Attempts(retry, endless=True)
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._has_read = threading.Event()
        self._reader: Reader | None = None
        threading.Thread(target=self._begin, name=name, daemon=True).start()

    def wait(self, timeout: float | None) -> bool:
        """Wait until all has been taken that was there at the beginning; whether that is so."""
        return self._has_read.wait(timeout)

    def refresh(self) -> None:
        """Take what the log has now, rung for or not, by a read of the caller's. Also once the hub has
        stopped. Raises BrokerUnavailable, Closed."""
        with self._lock:
            if (reader := self._reader) is None:
                raise BrokerUnavailable("what was there before can't be read yet")
            while True:
                reader.lagging = [self._stream_id]
                if not (frames := reader.read_lagging()):
                    return
                self._pass(reader, frames, live=True)

    def close(self) -> None:
        """Begin no more, and hear no more. Closing twice does nothing."""
        self._closed.set()
        if (reader := self._reader) is not None:
            reader.detach()

    def _begin(self) -> None:
        try:
            reader = keep_trying(
                self._read_recent,
                self._retry,
                wait=self._closed.wait,
                failed=lambda error, _, delay: self._hub.log.failed(error, delay),
                endless=True,
            )
            self._reader = reader
            self._has_read.set()
            reader.attach(self._follow)
        except (BrokerUnavailable, Closed):
            return  # the process is about to stop
        except Exception:
            logger.exception("a stream of Streamy's own can't be followed")
            return
        self._follow()  # something may have come before the hub knew of it

    def _read_recent(self) -> Reader:
        """A reader that has had all up to now. Blocks; raises BrokerUnavailable, Closed."""
        reader = Reader.open(self._hub, {self._stream_id: OLDEST})
        frames, reader.backlog = reader.backlog, []
        while frames:
            self._pass(reader, frames, live=False)
            reader.lagging = [self._stream_id]
            frames = reader.read_lagging()
        return reader

    def _follow(self) -> None:
        with self._lock:
            if (reader := self._reader) is None or self._closed.is_set():
                return
            try:
                frames = reader.due()
                self._pass(reader, reader.read_lagging() if reader.lagging else frames, live=True)
            except Closed:
                return  # the process is about to stop
            except BrokerUnavailable as error:
                delay = self._attempts.after_failure() or 0.0
                self._hub.log.failed(error, delay)
                self._follow_later(delay)
            else:
                self._attempts.after_success()

    def _pass(self, reader: Reader, frames: list[Frame], *, live: bool) -> None:
        for frame in frames:
            reader.passed(frame)
            self._take(frame, live)

    def _follow_later(self, seconds: float) -> None:
        # The hub's thread must not wait, and may have nothing to wake it again.
        timer = threading.Timer(seconds, self._follow)
        timer.daemon = True
        with suppress(RuntimeError):  # no thread is to be had: the next bell will do
            timer.start()
