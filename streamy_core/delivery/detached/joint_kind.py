"""What members have in common besides streams: how they are sent their bytes, and when keep-alives.

Keep-alives are looked for several times in each interval, rather than by a timer for each member.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from ...engine.frames import Framing
from ...strategies.keepalive import KeepAliveScheduler, due_after_write
from ...wire import KEEP_ALIVE
from .client import Client
from .joint import Member, Members
from .sending import Sending
from .timers import Timers

_LOOKS: Final = 8
"""How often in each interval: a keep-alive comes so much of it too early, and never too late."""


class KindKey(NamedTuple):
    """What members of one kind have in common. keep_alive: as `GroupKey` has it."""

    framing: Framing
    keep_alive: Hashable
    chunked: bool


class Kind(Members):
    """Members that are sent bytes in the same form, and keep-alives by the same rule. For one thread."""

    __slots__ = ("_scheduler", "_sending", "_timers", "_watched", "chunked", "framing", "key")

    def __init__(self, key: KindKey, scheduler: KeepAliveScheduler, timers: Timers, sending: Sending) -> None:
        super().__init__()
        self.key: KindKey = key
        self.framing: Framing = key.framing
        self.chunked: bool = key.chunked
        self._scheduler = scheduler
        self._timers = timers
        self._sending = sending
        self._watched = False

    def watch(self) -> None:
        """Members have just been written to: see that a look at them is due."""
        if not self._watched and (due := due_after_write(self._scheduler)) is not None:
            self._watched = True
            self._timers.after(due / _LOOKS, self._look)

    def _look(self) -> None:
        self._watched = False
        if not len(self) or (due := due_after_write(self._scheduler)) is None:
            return
        latest = self._timers.now() - due * (1 - 1 / _LOOKS)
        if silent := [member for member in self if member.wrote_at <= latest]:
            self._sending.start(_KeepAlives(silent, self._timers.now()), lambda: None)
        self._watched = True
        self._timers.after(due / _LOOKS, self._look)


class _KeepAlives:
    """One for each of these members. now: when."""

    def __init__(self, members: list[Member], now: float) -> None:
        self.sent = False
        self._unsent = iter(members)
        self._left = len(members)
        self._now = now

    def next(self, most: int) -> Iterator[tuple[Client, bytes]]:
        """See `Outgoing`."""
        self._left -= most
        self.sent = self._left <= 0
        for member in islice(self._unsent, most):
            if member.client.group is member:
                member.wrote_at = self._now
                yield member.client, member.client.framed(KEEP_ALIVE)
