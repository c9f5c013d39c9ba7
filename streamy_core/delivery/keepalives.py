"""When audiences are due for a keep-alive: one timer for each, however many members it has."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final
from weakref import ref

from ..keepalive import due_after_write
from .audience import Audience
from .timers import Timers

_BUSY_PAUSE: Final = 0.01


class KeepAlives:
    """For the loop's thread. send: sends a keep-alive to an audience that isn't busy."""

    def __init__(self, timers: Timers, send: Callable[[Audience], None]) -> None:
        self._timers = timers
        self._send = send

    def reset(self, audience: Audience) -> None:
        """Its members have just been sent something: count from now."""
        due = due_after_write(audience.keep_alive)
        scheduled = audience.keep_alive_at is not None
        audience.keep_alive_at = None if due is None else self._timers.now() + due
        if due is not None and not scheduled:
            self._timers.after(due, partial(self._look, ref(audience)))

    def stop(self, audience: Audience) -> None:
        """It is gone."""
        audience.keep_alive_at = None

    def _look(self, remembered: ref[Audience]) -> None:
        audience = remembered()
        if audience is None:
            return
        due, audience.keep_alive_at = audience.keep_alive_at, None
        if due is None:
            return
        left = due - self._timers.now()
        if left <= 0 and not audience.busy:
            self._send(audience)
        else:
            audience.keep_alive_at = due
            self._timers.after(max(left, _BUSY_PAUSE), partial(self._look, remembered))
