"""Has each process tell how it is doing, on a stream of Streamy's own."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from ..broker import ForkGuard
from ..engine.expiry import as_stored
from ..engine.hub import Hub
from ..errors import Closed
from ..events import LOOKS, SUMMARIES, Event
from ..tally import Tally
from .summary import Summary

EVERY: Final = 5.0
"""Seconds between two summaries of a process where nobody looks, and"""

EVERY_WHILE_SEEN: Final = 2.0
"""where somebody does, in whatever process."""

KEPT: Final = 120.0
"""Seconds for which a summary is of use: it shows where things have come from."""

SEEN: Final = 12.0
"""Seconds for which a look lasts, at least twice the time between two looks at whether there was one."""

SUMMARY: Final = "summary"
"""The name of the events."""

_FAREWELL: Final = 0.5

Tell = Callable[[str, Event], object]
"""Appends an event of Streamy's own to a stream, by one attempt. Raises BrokerUnavailable."""

logger: Final = logging.getLogger("streamy.overview")


def tell_look(tell: Tell) -> None:
    """Have all processes tell more often for a while. Raises BrokerUnavailable."""
    tell(LOOKS, Event(""))


class Teller:
    """A thread that tells, from `start` to `close`. A forked process begins anew, and without it. Any thread.

    Nobody has to hear of looks: before it tells, it asks for the newest one. So what nobody looks at costs an
    append and such a question every few seconds. While the broker can't be reached, nothing is told.

    summarize: makes the summary, given the seconds until the next.
    farewell:  makes the last one.
    viewers:   how many look by this process.
    """

    _lock: threading.Lock
    _woken: threading.Event
    _begun: bool
    _thread: threading.Thread | None
    _tally: Tally
    _look: str | None
    _seen_until: float

    def __init__(
        self,
        hub: Hub,
        tell: Tell,
        *,
        summarize: Callable[[float], Summary],
        farewell: Callable[[], Summary],
        viewers: Callable[[], int],
    ) -> None:
        self._hub = hub
        self._tell = tell
        self._summarize = summarize
        self._farewell = farewell
        self._viewers = viewers
        self._closed = False
        self._guard = ForkGuard(self._begin_anew)

    def start(self, *, at_once: bool = True) -> bool:
        """Begin, if that hasn't been done in this process. Returns whether it begins now.

        at_once: whether the first summary is told now, or only after `EVERY`.
        """
        self._guard.check()
        if self._begun or self._over:
            return False
        wait = 0.0 if at_once else EVERY
        with self._lock:
            if self._begun:
                return False
            thread = threading.Thread(target=self._run, args=(wait,), name="streamy-summaries", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no thread is to be had: whoever starts it next tries again
                self._failed(error)
                return False
            self._begun, self._thread = True, thread
        atexit.register(self.close)
        return True

    @property
    def has_begun(self) -> bool:
        """Whether `start` has nothing to do any more: it tells, or is closed."""
        return self._begun or self._over

    def hurry(self) -> None:
        """Tell soon: somebody begins to look here."""
        self._guard.check()
        self._woken.set()

    def close(self) -> None:
        """Tell the last, if that can be done at once, and no more. Closing twice does nothing."""
        self._closed = True
        atexit.unregister(self.close)
        if self._guard.inherited:
            return
        self._woken.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_FAREWELL)

    @property
    def _over(self) -> bool:
        return self._closed or self._hub.closed

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._begun = False
        self._thread = None
        self._tally = Tally()
        self._look = None
        self._seen_until = 0.0

    def _run(self, wait: float) -> None:
        self._woken.wait(wait)
        if self._over:
            return
        while not self._over:
            self._woken.clear()
            every = EVERY
            try:
                every = self._every()
                self._say(self._summarize(every))
            except Closed:
                break
            except Exception as error:  # noqa: BLE001 - a thread that dies makes a process that isn't seen
                self._failed(error)
            if not self._over:
                self._woken.wait(every)
        try:
            self._say(self._farewell())
        except Exception as error:  # noqa: BLE001 - they will find out
            logger.debug("nobody could be told that this process stops: %s", error)

    def _every(self) -> float:
        """How many seconds it is until the next, by whether anybody looks. Raises BrokerUnavailable."""
        if self._viewers():
            tell_look(self._tell)
        newest = self._hub.log.tail([LOOKS])[LOOKS]
        if self._look not in (None, newest):  # the first one found may be from long ago
            self._seen_until = time.monotonic() + SEEN
        self._look = newest
        return EVERY_WHILE_SEEN if self._viewers() or time.monotonic() < self._seen_until else EVERY

    def _say(self, summary: Summary) -> None:
        self._tell(SUMMARIES, as_stored(Event(summary.as_text(), SUMMARY, expires=KEPT), time.time()))

    def _failed(self, error: Exception) -> None:
        self._tally.log_failure(
            logger,
            "this process can't tell how it is doing, so that the live page lacks it (%d attempts since "
            "it was last said): %s",
            error,
        )
