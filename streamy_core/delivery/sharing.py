"""Has the processes of an app tell each other how many clients each key has."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from ..commands import counts_event
from ..engine.frames import Frame
from ..engine.hub import Hub
from ..engine.reader import Reader
from ..errors import Closed
from ..events import CONNECTIONS, Event
from ..tally import Tally
from .shared_counts import SharedCounts

PERIOD: Final = 1.0
"""Seconds between two messages of a process, at least."""

_LATER: Final = 5.0
"""Seconds until a message is tried again that couldn't be stored."""

_FAREWELL: Final = 0.5
"""Seconds that a process that stops may take to say so."""

logger: Final = logging.getLogger("streamy.delivery")


class Sharing:
    """A thread that tells what has changed here, and hears what has elsewhere, until `close`.

    While the broker can't be reached, nothing is told; others forget this process then, and it them.

    tell: appends an event to a stream, by one attempt. Raises BrokerUnavailable.
    """

    def __init__(self, hub: Hub, counts: SharedCounts, tell: Callable[[str, Event], object]) -> None:
        self._hub = hub
        self._counts = counts
        self._tell = tell
        self._reader: Reader | None = None
        self._woken = threading.Event()
        self._closed = False
        self._tell_at = 0.0
        self._tally = Tally()
        self._thread = threading.Thread(target=self._run, name="streamy-counts", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Tell the others that this process has no clients any more, if that can be done at once."""
        self._closed = True
        self._woken.set()
        if self._thread is not threading.current_thread():
            self._thread.join(_FAREWELL)

    def _run(self) -> None:
        while not self._closed:
            self._woken.clear()
            try:
                self._hear()
                self._tell_others()
            except Closed:
                break
            except Exception as error:  # noqa: BLE001 - a thread that dies knows nothing of the others
                self._failed(error)
            self._counts.forget_silent(time.monotonic())
            if not self._closed:
                self._woken.wait(PERIOD)
        try:
            self._tell(CONNECTIONS, counts_event(self._counts.farewell()))
        except Exception as error:  # noqa: BLE001 - they will find out
            logger.debug("the other processes couldn't be told that this one stops: %s", error)

    def _hear(self) -> None:
        if self._reader is None:
            reader = Reader.open(self._hub, {CONNECTIONS: None})
            reader.attach(self._woken.set)
            self._reader = reader
        while frames := self._due(self._reader):
            for frame in frames:
                self._reader.passed(frame)
                if frame.gap is not None:
                    self._counts.missed()
                else:
                    self._counts.hear(frame.entry.event.data, time.monotonic())

    def _due(self, reader: Reader) -> list[Frame]:
        frames = reader.due()
        return reader.read_lagging() if reader.lagging else frames

    def _tell_others(self) -> None:
        now = time.monotonic()
        if now < self._tell_at or (message := self._counts.message(now)) is None:
            return
        self._tell_at = now + _LATER
        self._tell(CONNECTIONS, counts_event(message.text))
        self._counts.told(message, now)
        self._tell_at = now + PERIOD

    def _failed(self, error: Exception) -> None:
        self._tally.log_failure(
            logger,
            "other processes and this one can't tell each other how many connections keys have (%d "
            "attempts since it was last said), so that each counts its own: %s",
            error,
        )
