"""When groups are due for a keep-alive: one timer for each, however many members it has."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from weakref import ref

from ...strategies.keepalive import due_after_write
from .groups import Group
from .timers import Timers


class KeepAlives:
    """For the loop's thread. send: sends a keep-alive to a group that isn't busy.

    A write only leaves its time behind: the scheduler is asked when a timer is over, not every time.
    """

    def __init__(self, timers: Timers, send: Callable[[Group], None]) -> None:
        self._timers = timers
        self._send = send

    def wrote(self, group: Group) -> None:
        """Its members have just been sent something: count from now."""
        group.wrote_at = self._timers.now()
        if not group.watched:
            self._watch(group)

    def _watch(self, group: Group) -> None:
        due = due_after_write(group.keep_alive)
        group.watched = due is not None
        if due is not None:
            left = group.wrote_at + due - self._timers.now()
            self._timers.after(max(left, 0.0), partial(self._look, ref(group), group.wrote_at))

    def _look(self, remembered: ref[Group], wrote_at: float) -> None:
        group = remembered()
        if group is None or group.over:
            return
        if group.busy:
            group.wrote_at = self._timers.now()  # it is being written to, or about to be
        if group.wrote_at > wrote_at:
            self._watch(group)
        else:
            group.watched = False
            self._send(group)
