"""When audiences are due for a keep-alive: one timer for each, however many members it has."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final
from weakref import ref

from ...strategies.keepalive import due_after_write
from .groups import Audience
from .timers import Timers

_BUSY_PAUSE: Final = 0.01


class KeepAlives:
    """For the loop's thread. send: sends a keep-alive to an audience that isn't busy.

    A write only leaves its time behind: the scheduler is asked when a timer is over, not every time.
    """

    def __init__(self, timers: Timers, send: Callable[[Audience], None]) -> None:
        self._timers = timers
        self._send = send

    def wrote(self, audience: Audience) -> None:
        """Its members have just been sent something: count from now."""
        audience.wrote_at = self._timers.now()
        if not audience.watched:
            self._watch(audience)

    def _watch(self, audience: Audience) -> None:
        due = due_after_write(audience.keep_alive)
        audience.watched = due is not None
        if due is not None:
            left = audience.wrote_at + due - self._timers.now()
            self._timers.after(max(left, 0.0), partial(self._look, ref(audience), audience.wrote_at))

    def _look(self, remembered: ref[Audience], wrote_at: float) -> None:
        audience = remembered()
        if audience is None or audience.over:
            return
        if audience.busy:
            self._timers.after(_BUSY_PAUSE, partial(self._look, remembered, wrote_at))
        elif audience.wrote_at > wrote_at:
            self._watch(audience)
        else:
            audience.watched = False
            self._send(audience)
